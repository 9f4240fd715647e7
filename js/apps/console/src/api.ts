/** Asks the console's HTTP API. What changes by itself comes from the feeds instead. */

/** What the API refused, in its own words. */
export class ApiError extends Error {
  readonly status: number
  readonly code: string
  readonly hint: string

  constructor(status: number, body: unknown) {
    const said = (typeof body === "object" && body !== null ? body : {}) as Partial<Record<"code" | "message" | "hint", string>>
    super(said.message ?? (status === 0 ? "The server does not answer." : `The server answered with ${status}.`))
    this.status = status
    this.code = said.code ?? `HTTP${status}`
    this.hint = said.hint ?? ""
  }
}

/** Return what was answered. Raises ApiError, with the status 0 where nobody answered. */
export async function ask<T>(path: string, { token, ...init }: RequestInit & { token?: string | null } = {}): Promise<T> {
  const headers = token ? { authorization: `Bearer ${token}` } : {}
  let answer: Response
  try {
    answer = await fetch(`/console/api${path}`, { ...init, headers, cache: "no-store" })
  } catch {
    throw new ApiError(0, null)
  }
  const body: unknown = answer.status === 204 ? null : await answer.json().catch(() => null)
  if (!answer.ok) throw new ApiError(answer.status, body)
  return body as T
}

export const post = <T>(path: string, body: unknown, token?: string): Promise<T> =>
  ask<T>(path, { method: "POST", body: JSON.stringify(body), ...(token === undefined ? {} : { token }) })
