/** Carries frames by polling, as Phoenix's clients do it. The newest token acknowledges what came before. */
import { isObject, type Payload } from "../wire/codec.ts"
import { failureOfStatus, type OpenLink } from "./link.ts"
import { overRequests, Requests } from "./requests.ts"

const OK = 200
const NOTHING_NEW = 204
const GONE = 410

export const overLongPoll = (fetch: typeof globalThis.fetch): OpenLink => overRequests(LongPoll, fetch)

class LongPoll extends Requests {
  #token = ""

  override async run(): Promise<void> {
    try {
      await this.#begin()
      while (!this.events.isOver) await this.#poll()
    } catch {
      this.end("unreachable", "a poll was not answered")
    }
  }

  async #begin(): Promise<void> {
    const { status, body } = await this.#ask()
    if (body["status"] === GONE && typeof body["token"] === "string") {
      this.#token = body["token"]
      this.events.opened()
    } else {
      this.end(failureOfStatus(status), typeof body["error"] === "string" ? body["error"] : `answered with ${status}`)
    }
  }

  async #poll(): Promise<void> {
    const { body } = await this.#ask()
    if (body["status"] !== OK && body["status"] !== NOTHING_NEW) {
      this.end("unreachable", "the session is over")
      return
    }
    if (typeof body["token"] === "string") this.#token = body["token"]
    for (const message of Array.isArray(body["messages"]) ? (body["messages"] as unknown[]) : []) {
      if (typeof message === "string") this.events.frame(message)
    }
  }

  protected override async post(lines: string): Promise<void> {
    const { body } = await this.#ask(lines)
    if (body["status"] !== OK) throw new Error("the session is over")
  }

  async #ask(lines?: string): Promise<{ status: number; body: Payload }> {
    const query = new URLSearchParams({ vsn: "2.0.0", ...(this.#token && { token: this.#token }) })
    const answer = await this.request(`longpoll?${query.toString()}`, lines)
    const body: unknown = await answer.json().catch(() => null)
    return { status: answer.status, body: isObject(body) ? body : {} }
  }
}
