/** A table of live rows: one that came or changed is tinted for a moment, without motion for who wants none. */
import { memo, type ReactElement, type ReactNode, useEffect, useRef } from "react"

export interface Column<T> {
  readonly id: string
  readonly header: string
  readonly cell: (row: T) => ReactNode
  readonly align?: "start" | "end"
}

export interface DataTableProps<T> {
  readonly caption: string
  readonly columns: readonly Column<T>[]
  /** A row that has changed is another object. */
  readonly rows: readonly T[]
  readonly keyOf: (row: T) => string | number
  /** Stands in place of the table where there are no rows. */
  readonly empty: ReactNode
}

const FLASH_MS = 1600

export function DataTable<T>({ caption, columns, rows, keyOf, empty }: DataTableProps<T>): ReactElement {
  const isFilled = useRef(false)
  useEffect(() => {
    isFilled.current = rows.length > 0
  }, [rows])
  if (rows.length === 0) return <>{empty}</>
  return (
    // Whoever has no mouse scrolls it with the keyboard.
    <div className="tw-table-frame" role="region" aria-label={caption} tabIndex={0}>
      <table className="tw-table">
        <caption className="tw-hidden">{caption}</caption>
        <thead>
          <tr>{columns.map(({ id, header, align }) => <th key={id} scope="col" data-align={align}>{header}</th>)}</tr>
        </thead>
        <tbody>
          {rows.map((row) => <LiveRow key={keyOf(row)} row={row} columns={columns} isNews={isFilled} />)}
        </tbody>
      </table>
    </div>
  )
}

interface LiveRowProps<T> {
  readonly row: T
  readonly columns: readonly Column<T>[]
  /** Whether a row that comes is news, or one of those that were there from the start. */
  readonly isNews: Readonly<React.RefObject<boolean>>
}

function LiveRowView<T>({ row, columns, isNews }: LiveRowProps<T>): ReactElement {
  const element = useRef<HTMLTableRowElement>(null)
  const shown = useRef<T | null>(null)
  useEffect(() => {
    const isChanged = shown.current === null ? isNews.current : shown.current !== row
    shown.current = row
    if (isChanged && element.current) flash(element.current)
  }, [row, isNews])
  return (
    <tr ref={element}>
      {columns.map(({ id, cell, align }) => <td key={id} data-align={align}>{cell(row)}</td>)}
    </tr>
  )
}

/** A row that is the same object is not drawn again, whatever else comes. */
const LiveRow = memo(LiveRowView) as typeof LiveRowView

function flash(element: HTMLElement): void {
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches
  const tint = { backgroundColor: "var(--flash)" }
  element.animate([tint, isCalm ? tint : { backgroundColor: "transparent" }], { duration: FLASH_MS, easing: "ease-out" })
}
