/** Who is signed in: an operator's token, kept for this tab, followed by the next one in time, and the client it gives. */
import { createClient, type Store, type TidewireClient } from "@tidewire/client"

import { ApiError, ask, post } from "./api.ts"

export type SessionState =
  | { readonly kind: "signing-in" }
  | { readonly kind: "signed-out"; readonly problem: ApiError | null }
  | { readonly kind: "signed-in"; readonly client: TidewireClient }

interface Minted {
  readonly access_token: string
  readonly expires_at: number | null
}

const KEY = "tidewire-console"
const LINK = /^#sign-in=([\w-]+)$/
const LEEWAY_MS = 120_000
const AGAIN_MS = 20_000

class SessionStore implements Store<SessionState> {
  readonly #listeners = new Set<() => void>()
  #state: SessionState = { kind: "signing-in" }
  #minted: Minted | null = null
  #timer: ReturnType<typeof setTimeout> | undefined

  readonly getSnapshot = (): SessionState => this.#state

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** For what asks the API. */
  get token(): string {
    return this.#minted?.access_token ?? ""
  }

  /** Use the link that somebody came by, or what this tab remembers. Call once. */
  async begin(): Promise<void> {
    const secret = LINK.exec(location.hash)?.[1]
    if (secret === undefined) {
      const kept = recall()
      if (kept) this.#enter(kept)
      else this.#set({ kind: "signed-out", problem: null })
      return
    }
    history.replaceState(null, "", location.pathname + location.search) // it counts once, and nobody should copy it
    try {
      this.#enter(await post<Minted>("/sign-in", { link: secret }))
    } catch (error) {
      this.signOut(error instanceof ApiError ? error : null)
    }
  }

  /** Take a token that an operator has pasted. Raises ApiError if it is none. */
  async useToken(token: string): Promise<void> {
    await ask("/connections?limit=1", { token })
    this.#enter({ access_token: token, expires_at: null })
  }

  signOut(problem: ApiError | null = null): void {
    clearTimeout(this.#timer)
    this.#minted = null
    keep(null)
    if (this.#state.kind === "signed-in") this.#state.client.close()
    this.#set({ kind: "signed-out", problem })
  }

  #enter(minted: Minted): void {
    this.#minted = minted
    keep(minted)
    if (minted.expires_at !== null) this.#renewAt(minted.expires_at * 1000 - LEEWAY_MS)
    const before = this.#state
    // The key of a client is its first token, with which it could not come back once that has ended.
    const client = createClient(location.origin, { apikey: minted.access_token, accessToken: () => this.token })
    this.#set({ kind: "signed-in", client })
    if (before.kind === "signed-in") before.client.close()
  }

  #renewAt(at: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#renew(), Math.max(at - Date.now(), 0))
  }

  async #renew(): Promise<void> {
    try {
      this.#enter(await post<Minted>("/renew", {}, this.token))
    } catch (error) {
      const isOver = error instanceof ApiError && (error.status === 401 || error.status === 409)
      if (isOver) this.signOut(error)
      else this.#renewAt(Date.now() + AGAIN_MS)
    }
  }

  #set(state: SessionState): void {
    this.#state = state
    for (const listener of [...this.#listeners]) listener()
  }
}

function keep(minted: Minted | null): void {
  try {
    if (minted) sessionStorage.setItem(KEY, JSON.stringify(minted))
    else sessionStorage.removeItem(KEY)
  } catch {
    // Then one signs in anew after a reload.
  }
}

function recall(): Minted | null {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "null") as Minted | null
  } catch {
    return null
  }
}

export const session = new SessionStore()
