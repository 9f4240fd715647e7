/** Carries frames over an event stream, and posts what is sent. With `fetch`, because an EventSource says no status. */
import { fromBase64 } from "../wire/base64.ts"
import { isObject } from "../wire/codec.ts"
import { EventParser, type ServerEvent } from "../wire/event_parser.ts"
import { type Address, failureOfClose, failureOfStatus, type LinkEvents, once, type OpenLink } from "./link.ts"
import { Outgoing } from "./outgoing.ts"

const MOST_PENDING_CHARS = 16_000_000 // more than any message that a server sends

export function overEventStream(fetch: typeof globalThis.fetch): OpenLink {
  return (address, given) => {
    const stream = new EventStream(fetch, address, given)
    void stream.run()
    return stream
  }
}

class EventStream {
  readonly #fetch: typeof globalThis.fetch
  readonly #address: Address
  readonly #events: ReturnType<typeof once>
  readonly #abort = new AbortController()
  readonly #outgoing: Outgoing
  #session: { url: string; secret: string } | null = null

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
      await this.#read()
      this.#end("unclear", "the stream ended")
    } catch {
      this.#end(this.#session ? "unclear" : "unreachable", "the stream broke")
    }
  }

  async #read(): Promise<void> {
    const answer = await this.#fetch(`${this.#address.url}/sse?vsn=2.0.0`, {
      headers: { accept: "text/event-stream", "x-api-key": this.#address.apikey },
      cache: "no-store",
      signal: this.#abort.signal,
    })
    if (!answer.ok || !answer.body) {
      this.#end(failureOfStatus(answer.status), `answered with ${answer.status}`)
      return
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
    const parser = new EventParser()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      for (const event of parser.push(value)) this.#take(event)
      if (parser.pendingChars > MOST_PENDING_CHARS) this.#end("unusable", "an event without an end")
    }
  }

  #take({ name, data }: ServerEvent): void {
    if (name === "message") {
      this.#events.frame(data)
    } else if (name === "binary") {
      this.#events.frame(fromBase64(data).buffer)
    } else if (name === "session") {
      this.#session = JSON.parse(data) as { url: string; secret: string }
      this.#events.opened()
    } else if (name === "close") {
      const told: unknown = JSON.parse(data)
      const code = isObject(told) && typeof told["code"] === "number" ? told["code"] : 0
      this.#end(failureOfClose(code), isObject(told) && typeof told["reason"] === "string" ? told["reason"] : "")
    }
  }

  async #post(body: string): Promise<void> {
    const session = this.#session
    if (!session) throw new Error("posting before the session has begun")
    const answer = await this.#fetch(new URL(session.url, `${this.#address.url}/sse`), {
      method: "POST",
      headers: { "content-type": "application/x-ndjson", "tidewire-secret": session.secret },
      body,
      signal: this.#abort.signal,
    })
    if (!answer.ok) throw new Error(`answered with ${answer.status}`)
  }

  #end(...how: Parameters<LinkEvents["ended"]>): void {
    this.#events.ended(...how)
    this.#abort.abort()
  }
}
