/** Applies changes to a list, and says when a list cannot be known without loading it again. Pure. */
import type { RealtimeEvent, Row } from "../types.ts"

export interface ListShape {
  keyOf(row: Row): string
  /** Null: in no order, so what is new goes to the end. */
  readonly compare: ((one: Row, other: Row) => number) | null
  /** The list is the first so many of more rows; null: it is all of them. */
  readonly window: number | null
}

export interface Applied {
  readonly rows: readonly Row[]
  /** The key of the row that it was about. */
  readonly key: string | null
  /** A row outside the window may belong into it now, or the change did not say enough. */
  readonly mustReload: boolean
}

/** Return the list after a change; the same array if it is not about any row of the list. */
export function applyChange(rows: readonly Row[], event: RealtimeEvent, shape: ListShape): Applied {
  if (event.errors) return { rows, key: null, mustReload: true }
  switch (event.eventType) {
    case "TRUNCATE":
      return { rows: [], key: null, mustReload: false }
    case "DELETE":
      return remove(rows, shape.keyOf(event.old), shape)
    default:
      return put(rows, event, shape)
  }
}

function remove(rows: readonly Row[], key: string, shape: ListShape): Applied {
  const rest = rows.filter((row) => shape.keyOf(row) !== key)
  if (rest.length === rows.length) return { rows, key, mustReload: false }
  return { rows: rest, key, mustReload: isFull(rows, shape) }
}

function put(rows: readonly Row[], event: RealtimeEvent, shape: ListShape): Applied {
  const key = shape.keyOf(event.new)
  // The old key differs where an UPDATE changed it.
  const oldKey = Object.keys(event.old).length ? shape.keyOf({ ...event.new, ...event.old }) : key
  const at = rows.findIndex((row) => shape.keyOf(row) === key || shape.keyOf(row) === oldKey)
  const before = rows[at]
  // A large value that did not change is not in the log: the list still has it.
  const row = before ? { ...before, ...event.new } : event.new
  const rest = rows.filter((other) => shape.keyOf(other) !== key && shape.keyOf(other) !== oldKey)
  const place = placeOf(row, rest, at, shape)
  const next = [...rest.slice(0, place), row, ...rest.slice(place)]
  const wasFull = isFull(rows, shape)
  if (shape.window === null || next.length <= shape.window) {
    // The last of a full list may have gone behind rows that are not in it.
    const mayHaveLeft = wasFull && before !== undefined && place === next.length - 1 && (shape.compare?.(row, before) ?? 0) > 0
    return { rows: next, key, mustReload: mayHaveLeft }
  }
  return { rows: next.slice(0, shape.window), key, mustReload: shape.compare === null }
}

const isFull = (rows: readonly Row[], shape: ListShape): boolean => shape.window !== null && rows.length >= shape.window

function placeOf(row: Row, rest: readonly Row[], at: number, { compare }: ListShape): number {
  if (!compare) return at < 0 ? rest.length : at
  // What compares equal stays where it is, or goes behind the others.
  if (at >= 0 && isInOrder(row, rest[at - 1], rest[at], compare)) return at
  const next = rest.findIndex((other) => compare(row, other) < 0)
  return next < 0 ? rest.length : next
}

function isInOrder(row: Row, before: Row | undefined, after: Row | undefined, compare: NonNullable<ListShape["compare"]>): boolean {
  return (!before || compare(before, row) <= 0) && (!after || compare(row, after) <= 0)
}
