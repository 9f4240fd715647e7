/** Reads a list from the data API, with the position that it was read at. */
import { TidewireError } from "../errors.ts"
import type { Row } from "../types.ts"
import { isObject } from "../wire/codec.ts"
import { pathOf, type RowsQuery } from "./query.ts"
import type { Loaded } from "./rows_store.ts"

export interface DataApi {
  /** That of the data API. */
  readonly url: string
  readonly apikey: string
  readonly fetch: typeof globalThis.fetch
  token(fresh: boolean): Promise<string | null>
}

const UNAUTHORIZED = 401

export async function loadRows(api: DataApi, query: RowsQuery, signal: AbortSignal): Promise<Loaded> {
  let answer = await ask(api, query, signal, false)
  if (answer.status === UNAUTHORIZED) answer = await ask(api, query, signal, true)
  if (!answer.ok) throw await complaint(answer)
  const position = answer.headers.get("tidewire-position")
  if (position === null) {
    throw new TidewireError("PositionMissing", "loading rows: expected the list's position, got none", {
      retryable: true,
      hint: "the server does not follow its database at the moment",
    })
  }
  return { rows: (await answer.json()) as Row[], position, total: readTotal(answer.headers.get("content-range")) }
}

async function ask(api: DataApi, query: RowsQuery, signal: AbortSignal, fresh: boolean): Promise<Response> {
  const token = await api.token(fresh)
  const headers: Record<string, string> = {
    apikey: api.apikey,
    authorization: `Bearer ${token ?? api.apikey}`,
    "accept-profile": query.schema ?? "public",
  }
  // Whoever wants all rows has to know whether they are; it costs little beside reading them.
  if (query.limit === undefined) headers["prefer"] = "count=exact"
  return api.fetch(api.url + pathOf(query), { headers, signal, cache: "no-store" })
}

async function complaint(answer: Response): Promise<TidewireError> {
  const body: unknown = await answer.json().catch(() => null)
  const text = (name: string) => (isObject(body) && typeof body[name] === "string" ? body[name] : "")
  const isPassing = answer.status >= 500 || answer.status === 429 || answer.status === 408
  return new TidewireError(text("code") || `HTTP${answer.status}`, text("message") || `loading rows: answered with ${answer.status}`, {
    retryable: isPassing,
    hint: text("hint"),
  })
}

function readTotal(range: string | null): number | null {
  const total = Number(range?.split("/")[1])
  return Number.isInteger(total) ? total : null
}
