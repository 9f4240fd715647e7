/** Turns a query for rows into a request to the data API, a binding for its changes, and the order of its list. */
import type { Row } from "../types.ts"
import type { Binding } from "../wire/bindings.ts"
import type { ListShape } from "./reducer.ts"

export interface RowsQuery {
  table: string
  schema?: string
  select?: readonly string[]
  filter?: string
  order?: string
  limit?: number
  key?: string | readonly string[]
}

type Compare = (one: Row, other: Row) => number

/** Return the path below /rest/v1. The filter says there what it says to a channel: all of its conditions. */
export function pathOf(query: RowsQuery): string {
  const parameters = new URLSearchParams()
  if (query.select) parameters.set("select", withKey(query).join(","))
  for (const condition of splitFilter(query.filter ?? "")) {
    const at = condition.indexOf("=")
    parameters.append(condition.slice(0, at).trim(), unquoted(condition.slice(at + 1)))
  }
  if (query.order) parameters.set("order", query.order)
  if (query.limit !== undefined) parameters.set("limit", String(query.limit))
  const text = parameters.toString()
  return `/${encodeURIComponent(query.table)}${text ? `?${text}` : ""}`
}

/** Return what tells of every change that the list must show. */
export function bindingOf(query: RowsQuery, moves: boolean): Binding {
  return {
    event: "*",
    schema: query.schema ?? "public",
    table: query.table,
    ...(query.filter ? { filter: query.filter } : {}),
    ...(query.select ? { select: withKey(query) } : {}),
    ...(moves ? { moves } : {}),
    truncate: true,
  }
}

/** Return how the list is kept, when `window` of its rows were sent; null: all of them. */
export function shapeOf(query: RowsQuery, window: number | null): ListShape {
  const keys = keysOf(query)
  return { keyOf: (row) => JSON.stringify(keys.map((key) => row[key] ?? null)), compare: compareBy(query.order), window }
}

/** Split at the commas between conditions: not within parentheses or quotes, which open only behind `.`, `(` or `,`. */
export function splitFilter(filter: string): string[] {
  const parts = [""]
  let depth = 0
  // A quoted text is one piece, and so is every other character.
  for (const [piece] of filter.matchAll(/(?<=^|[.(,])"(?:[^"\\]|\\.)*"|[^]/g)) {
    depth += piece === "(" ? 1 : piece === ")" ? -1 : 0
    if (piece === "," && depth === 0) parts.push("")
    else parts.push((parts.pop() ?? "") + piece)
  }
  return parts.filter((text) => text.trim() !== "")
}

/** A value that is quoted as a whole stands in a URL as it is; the elements of a list keep their quotes. */
function unquoted(wish: string): string {
  const [, operator = "", value = ""] = /^((?:not\.)?\w+\.)"((?:[^"\\]|\\.)*)"$/s.exec(wish) ?? []
  return operator ? operator + value.replace(/\\(.)/gs, "$1") : wish
}

const keysOf = ({ key = "id" }: RowsQuery): readonly string[] => (typeof key === "string" ? [key] : key)

/** The columns that were asked for, and those that tell rows apart. */
function withKey(query: RowsQuery): readonly string[] {
  return [...new Set([...(query.select ?? []), ...keysOf(query)])]
}

/** Order as Postgres does: nulls count as larger than everything. Texts are compared as they are, not by a language. */
export function compareBy(order: string | undefined): Compare | null {
  if (!order) return null
  const columns = order.split(",").map((text) => {
    const [column = "", ...words] = text.trim().split(".")
    const isDescending = words.includes("desc")
    const nullsFirst = words.includes("nullsfirst") || (isDescending && !words.includes("nullslast"))
    return { column, sign: isDescending ? -1 : 1, nullSign: nullsFirst ? -1 : 1 }
  })
  return (one, other) => {
    for (const { column, sign, nullSign } of columns) {
      const a = one[column] ?? null
      const b = other[column] ?? null
      if (a === null || b === null) {
        if (a !== b) return a === null ? nullSign : -nullSign
        continue
      }
      const order = compareValues(a, b)
      if (order) return order * sign
    }
    return 0
  }
}

function compareValues(a: unknown, b: unknown): number {
  if (typeof a === "number" && typeof b === "number") return a - b
  const one = typeof a === "string" ? a : JSON.stringify(a)
  const other = typeof b === "string" ? b : JSON.stringify(b)
  return one < other ? -1 : one > other ? 1 : 0
}
