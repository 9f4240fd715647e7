/** Carries frames by polling, as Phoenix's clients do it. The newest token acknowledges what came before. */
import { isObject, type Payload } from "../wire/codec.ts"
import { type Address, failureOfStatus, type LinkEvents, once, type OpenLink } from "./link.ts"
import { Outgoing } from "./outgoing.ts"

const OK = 200
const NOTHING_NEW = 204
const GONE = 410

export function overLongPoll(fetch: typeof globalThis.fetch): OpenLink {
  return (address, given) => {
    const polls = new LongPoll(fetch, address, given)
    void polls.run()
    return polls
  }
}

class LongPoll {
  readonly #fetch: typeof globalThis.fetch
  readonly #address: Address
  readonly #events: ReturnType<typeof once>
  readonly #abort = new AbortController()
  readonly #outgoing: Outgoing
  #token = ""

  constructor(fetch: typeof globalThis.fetch, address: Address, events: LinkEvents) {
    this.#fetch = fetch
    this.#address = address
    this.#events = once(events)
    this.#outgoing = new Outgoing(
      (body) => this.#post(body),
      () => this.#end("unreachable", "a message could not be posted"),
    )
  }

  send(frame: string | Uint8Array<ArrayBuffer>): void {
    this.#outgoing.send(frame)
  }

  close(): void {
    this.#events.close()
    this.#abort.abort()
  }

  async run(): Promise<void> {
    try {
      await this.#begin()
      while (!this.#events.isOver) await this.#poll()
    } catch {
      this.#end("unreachable", "a poll was not answered")
    }
  }

  async #begin(): Promise<void> {
    const { status, body } = await this.#ask("GET")
    if (body["status"] === GONE && typeof body["token"] === "string") {
      this.#token = body["token"]
      this.#events.opened()
    } else {
      this.#end(failureOfStatus(status), typeof body["error"] === "string" ? body["error"] : `answered with ${status}`)
    }
  }

  async #poll(): Promise<void> {
    const { body } = await this.#ask("GET")
    if (body["status"] !== OK && body["status"] !== NOTHING_NEW) {
      this.#end("unreachable", "the session is over")
      return
    }
    if (typeof body["token"] === "string") this.#token = body["token"]
    for (const message of Array.isArray(body["messages"]) ? (body["messages"] as unknown[]) : []) {
      if (typeof message === "string") this.#events.frame(message)
    }
  }

  async #post(lines: string): Promise<void> {
    const { body } = await this.#ask("POST", lines)
    if (body["status"] !== OK) throw new Error("the session is over")
  }

  async #ask(method: string, lines?: string): Promise<{ status: number; body: Payload }> {
    const query = new URLSearchParams({ vsn: "2.0.0", ...(this.#token ? { token: this.#token } : {}) })
    const answer = await this.#fetch(`${this.#address.url}/longpoll?${query.toString()}`, {
      method,
      headers: { "x-api-key": this.#address.apikey, ...(lines === undefined ? {} : { "content-type": "application/x-ndjson" }) },
      cache: "no-store",
      signal: this.#abort.signal,
      ...(lines === undefined ? {} : { body: lines }),
    })
    const body: unknown = await answer.json().catch(() => null)
    return { status: answer.status, body: isObject(body) ? body : {} }
  }

  #end(...how: Parameters<LinkEvents["ended"]>): void {
    this.#events.ended(...how)
    this.#abort.abort()
  }
}
