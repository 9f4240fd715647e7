/** What transports made of requests have in common: they post what is sent, and what is under way ends with them. */
import type { Frame } from "../wire/codec.ts"
import { type Address, type Link, type LinkEvents, once, type OpenLink } from "./link.ts"
import { Outgoing } from "./outgoing.ts"

type Fetch = typeof globalThis.fetch
type Kind = new (fetch: Fetch, address: Address, events: LinkEvents) => Requests

/** Open links of a kind with this `fetch`. */
export function overRequests(kind: Kind, fetch: Fetch): OpenLink {
  return (address, events) => {
    const link = new kind(fetch, address, events)
    void link.run()
    return link
  }
}

export abstract class Requests implements Link {
  protected readonly events: ReturnType<typeof once>
  readonly #fetch: Fetch
  readonly #address: Address
  readonly #abort = new AbortController()
  readonly #outgoing: Outgoing

  constructor(fetch: Fetch, address: Address, events: LinkEvents) {
    this.#fetch = fetch
    this.#address = address
    this.events = once(events)
    this.#outgoing = new Outgoing(
      (body) => this.post(body),
      () => this.end("unreachable", "a message could not be posted"),
    )
  }

  /** Read until the end, and tell it. Never throws. */
  abstract run(): Promise<void>

  /** Resolve once the server has taken a body of lines. */
  protected abstract post(body: string): Promise<void>

  send(frame: Frame): void {
    this.#outgoing.send(frame)
  }

  close(): void {
    this.events.close()
    this.#abort.abort()
  }

  /** Ask for a path below the server's realtime API, or post lines to it. */
  protected request(path: string, lines?: string, headers?: Record<string, string>): Promise<Response> {
    return this.#fetch(new URL(path, `${this.#address.url}/`).href, {
      method: lines ? "POST" : "GET",
      headers: { ...headers, "x-api-key": this.#address.apikey, ...(lines && { "content-type": "application/x-ndjson" }) },
      cache: "no-store",
      signal: this.#abort.signal,
      body: lines ?? null,
    })
  }

  protected end(...how: Parameters<LinkEvents["ended"]>): void {
    this.events.ended(...how)
    this.close()
  }
}
