/** Carries frames over an event stream, and posts what is sent. With `fetch`, because an EventSource says no status. */
import { fromBase64 } from "../wire/base64.ts"
import { EventParser, type ServerEvent } from "../wire/event_parser.ts"
import { failureOfClose, failureOfStatus, type OpenLink } from "./link.ts"
import { overRequests, Requests } from "./requests.ts"

const MOST_PENDING_CHARS = 16_000_000 // more than any message that a server sends

export const overEventStream = (fetch: typeof globalThis.fetch): OpenLink => overRequests(EventStream, fetch)

class EventStream extends Requests {
  #session: { url: string; secret: string } | null = null

  override async run(): Promise<void> {
    try {
      await this.#read()
      this.end("unclear", "the stream ended")
    } catch {
      this.end(this.#session ? "unclear" : "unreachable", "the stream broke")
    }
  }

  async #read(): Promise<void> {
    const answer = await this.request("sse?vsn=2.0.0", undefined, { accept: "text/event-stream" })
    if (!answer.ok || !answer.body) {
      this.end(failureOfStatus(answer.status), `answered with ${answer.status}`)
      return
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
    const parser = new EventParser()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      for (const event of parser.push(value)) this.#take(event)
      if (parser.pendingChars > MOST_PENDING_CHARS) this.end("unusable", "an event without an end")
    }
  }

  #take({ name, data }: ServerEvent): void {
    if (name === "message") {
      this.events.frame(data)
    } else if (name === "binary") {
      this.events.frame(fromBase64(data).buffer)
    } else if (name === "session") {
      this.#session = JSON.parse(data) as { url: string; secret: string }
      this.events.opened()
    } else if (name === "close") {
      const { code, reason } = JSON.parse(data) as { code: number; reason: string }
      this.end(failureOfClose(code), reason)
    }
  }

  protected override async post(body: string): Promise<void> {
    const session = this.#session
    if (!session) throw new Error("posting before the session has begun")
    const answer = await this.request(session.url, body, { "tidewire-secret": session.secret })
    if (!answer.ok) throw new Error(`answered with ${answer.status}`)
  }
}
