/** Keeps the token of the moment: asks the application for one, once for everybody who waits, and says when it ages. */
import { TidewireError } from "../errors.ts"
import { isObject } from "../wire/codec.ts"
import type { Timing } from "../machine/timing.ts"

export type AccessToken = () => Promise<string | null> | string | null

export class Tokens {
  /** When to ask for the next one, before this one ends. */
  renewAt: number | null = null
  readonly #ask: AccessToken | null
  readonly #timing: Timing
  #token: string | null = null
  #endsAt = 0
  #asked: Promise<string | null> | null = null

  constructor(ask: AccessToken | null, timing: Timing) {
    this.#ask = ask
    this.#timing = timing
  }

  /** Return the token, or a new one where it has ended or `fresh` says that it was refused. Null: the key counts. */
  async get(fresh: boolean): Promise<string | null> {
    if (!this.#ask) return null
    if (!fresh && this.#endsAt > Date.now()) return this.#token
    // One question for all channels of a page. It is forgotten with its answer, so a late refusal asks again.
    this.#asked ??= this.#fetch(this.#ask).finally(() => (this.#asked = null))
    return this.#asked
  }

  async #fetch(ask: AccessToken): Promise<string | null> {
    const token = await within(Promise.resolve().then(ask), this.#timing.tokenMs)
    const endsAt = token === null ? null : expiry(token)
    const now = Date.now()
    this.#token = token
    this.#endsAt = endsAt ?? Infinity
    this.renewAt = endsAt === null || endsAt <= now ? null : endsAt - Math.min(this.#timing.tokenLeewayMs, (endsAt - now) / 5)
    return token
  }
}

/** Return the `exp` of a token in milliseconds; null where there is none to be read. The server checks it, not we. */
export function expiry(token: string): number | null {
  try {
    const claims: unknown = JSON.parse(atob((token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/")))
    return isObject(claims) && typeof claims["exp"] === "number" ? claims["exp"] * 1000 : null
  } catch {
    return null
  }
}

async function within<T>(promise: Promise<T>, limitMs: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new TidewireError("TokenLate", `asking for a token: expected one within ${limitMs} ms, got none`, { retryable: true }))
    }, limitMs)
  })
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer))
}
