/** One joined topic: carries out what its machine says, and hands its content what the server says. */
import { TidewireError } from "../errors.ts"
import { ChannelMachine, type ChannelEffect, type ChannelEvent } from "../machine/channel.ts"
import { call, Source } from "../store.ts"
import type { ChannelStatus } from "../types.ts"
import { encode, encodeBroadcast, isObject, type Frame, type Message, type Payload } from "../wire/codec.ts"
import { comeBack } from "../wire/reasons.ts"
import type { Hub } from "./hub.ts"

/** What a channel is for. */
export interface Content {
  /** What stands under `config` in the next join. */
  config(): Payload
  joined(response: Payload): void
  message(event: string, payload: Payload): void
  refused(reason: string): void
  /** Everything up to this position has been told (D12). */
  reached(position: string): void
  /** The channel is not joined any more, for now. */
  interrupted(): void
}

interface Push {
  readonly write: (joinRef: string, ref: string) => Frame
  readonly isAnswered: boolean
  readonly resolve: () => void
  readonly reject: (error: TidewireError) => void
  readonly timer: ReturnType<typeof setTimeout>
}

const MOST_WAITING = 100
const STATES: Readonly<Record<ChannelMachine["state"], ChannelStatus["state"]>> = {
  away: "waiting", asking: "joining", joining: "joining", joined: "joined",
  waiting: "waiting", refused: "refused", left: "left",
}

export class ChannelSession {
  readonly topic: string
  readonly status = new Source<ChannelStatus>({ state: "waiting", reason: null })
  readonly machine: ChannelMachine
  readonly content: Content
  readonly #hub: Hub
  #joinRef = ""
  #token: string | null = null
  #ending: string | null = null
  #waiting: Push[] = []
  readonly #unanswered = new Map<string, Push>()

  constructor(hub: Hub, topic: string, content: Content) {
    this.#hub = hub
    this.topic = topic
    this.content = content
    this.machine = new ChannelMachine(hub.timing, Math.random)
  }

  get isJoined(): boolean {
    return this.machine.state === "joined"
  }

  /** Take what happened to the channel. Only within a turn of the hub. */
  receive(event: ChannelEvent): void {
    const before = this.machine.state
    for (const effect of this.machine.receive(event, Date.now())) this.#carryOut(effect)
    if (before === "joined" && this.machine.state !== "joined") {
      this.#giveUpUnanswered()
      call(() => this.content.interrupted())
    }
    if (this.machine.state === "left") this.#giveUpWaiting()
    this.#tellStatus()
  }

  /** Take what the server said on this topic. */
  hear({ joinRef, ref, event, payload }: Message): void {
    if (joinRef !== null && joinRef !== this.#joinRef) return // about an earlier time on this topic
    if (event === "phx_reply") {
      this.#hearReply(ref, payload)
    } else if (event === "phx_close" || event === "phx_error") {
      const reason = this.#ending ?? "the server closed the channel"
      this.receive({ type: "ended", reason, comeBack: comeBack(reason) })
    } else if (this.isJoined) {
      this.#ending = readEnding(event, payload)
      this.content.message(event, payload)
    }
  }

  /** Take what the answer to a heartbeat says of this topic; while a join is under way it is about an earlier time. */
  reached(position: string): void {
    if (this.isJoined) this.content.reached(position)
  }

  /** Say something as soon as the channel is joined. Rejects when it cannot be said, or is refused. */
  push(event: string, payload: Payload): Promise<void> {
    const write = (joinRef: string, ref: string) => encode({ joinRef, ref, topic: this.topic, event, payload })
    return this.#push(write, true)
  }

  broadcast(event: string, payload: unknown, isAnswered: boolean): Promise<void> {
    return this.#push((joinRef, ref) => encodeBroadcast(joinRef, ref, this.topic, event, payload), isAnswered)
  }

  /** Tell the server of a new token. From a user to nobody there is no word for it, but another join. */
  renew(token: string | null): void {
    if (token === null) {
      if (this.#token !== null) this.receive({ type: "restart" })
      return
    }
    this.#token = token
    if (this.isJoined || this.machine.state === "joining") this.#say("access_token", { access_token: token })
    if (this.machine.state === "refused") this.receive({ type: "retry" })
  }

  #push(write: Push["write"], isAnswered: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((other) => other !== push)
        for (const [ref, other] of this.#unanswered) if (other === push) this.#unanswered.delete(ref)
        reject(failure("SendLate", "expected the channel to take it in time, got no answer"))
      }, this.#hub.timing.sendMs)
      const push: Push = { write, isAnswered, resolve, reject, timer }
      if (this.isJoined) this.#send(push)
      else if (this.machine.state === "left") refuse(push, failure("ChannelLeft", "expected a channel, got one that was left"))
      else if (this.#waiting.length < MOST_WAITING) this.#waiting.push(push)
      else refuse(push, failure("SendQueueFull", `expected at most ${MOST_WAITING} waiting messages, got more`))
    })
  }

  #send(push: Push): void {
    const ref = this.#hub.nextRef()
    try {
      this.#hub.send(push.write(this.#joinRef, ref))
    } catch (error) {
      refuse(push, error instanceof TidewireError ? error : failure("SendFailed", String(error)))
      return
    }
    if (push.isAnswered) this.#unanswered.set(ref, push)
    else settle(push)
  }

  #hearReply(ref: string | null, payload: Payload): void {
    const response = isObject(payload["response"]) ? payload["response"] : {}
    const isOk = payload["status"] === "ok"
    const reason = Object.values(response).map(String).join(", ")
    if (ref === this.#joinRef) {
      if (isOk) this.#accepted(response)
      else this.receive({ type: "ended", reason, comeBack: comeBack(reason) })
      return
    }
    const push = ref === null ? undefined : this.#unanswered.get(ref)
    if (ref === null || !push) return
    this.#unanswered.delete(ref)
    if (isOk) settle(push)
    else refuse(push, failure("SendRefused", reason || "expected permission to write, got none"))
  }

  #accepted(response: Payload): void {
    if (this.machine.state !== "joining") return
    this.receive({ type: "accepted" })
    this.content.joined(response)
    for (const push of this.#waiting.splice(0)) this.#send(push)
  }

  #carryOut(effect: ChannelEffect): void {
    if (effect.type === "needToken") {
      this.#hub.withToken(effect.fresh, (token) => {
        this.#token = token
        this.receive({ type: "token" })
      }, () => this.receive({ type: "noToken" }))
    } else if (effect.type === "join") {
      this.#join()
    } else if (effect.type === "leave") {
      this.#say("phx_leave", {})
      this.#joinRef = ""
    } else if (effect.type === "refused") {
      call(() => this.content.refused(effect.reason))
    }
  }

  #join(): void {
    const ref = (this.#joinRef = this.#hub.nextRef())
    this.#ending = null
    const token = this.#token === null ? {} : { access_token: this.#token }
    const payload = { config: this.content.config(), ...token }
    this.#hub.send(encode({ joinRef: ref, ref, topic: this.topic, event: "phx_join", payload }))
  }

  #say(event: string, payload: Payload): void {
    this.#hub.send(encode({ joinRef: this.#joinRef, ref: this.#hub.nextRef(), topic: this.topic, event, payload }))
  }

  #giveUpUnanswered(): void {
    for (const push of this.#unanswered.values()) refuse(push, failure("SendUnknown", "expected an answer, got cut off"))
    this.#unanswered.clear()
  }

  #giveUpWaiting(): void {
    for (const push of this.#waiting.splice(0)) refuse(push, failure("ChannelLeft", "expected a channel, got one that was left"))
  }

  #tellStatus(): void {
    const { state, reason } = this.machine
    const before = this.status.getSnapshot()
    const after = { state: STATES[state], reason: state === "joined" ? null : reason }
    if (before.state !== after.state || before.reason !== after.reason) this.status.set(after)
  }
}

/** Why a channel is about to be closed is said before, and counts only for the close that follows. */
function readEnding(event: string, { extension, status, message }: Payload): string | null {
  return event === "system" && extension === "system" && status === "error" ? String(message) : null
}

function settle(push: Push): void {
  clearTimeout(push.timer)
  push.resolve()
}

function refuse(push: Push, error: TidewireError): void {
  clearTimeout(push.timer)
  push.reject(error)
}

function failure(code: string, words: string): TidewireError {
  const retryable = code !== "SendRefused" && code !== "ChannelLeft"
  return new TidewireError(code, `sending a message: ${words}`, {
    retryable,
    hint: retryable ? "send it again once the channel is joined" : "look at the channel's policies and limits",
  })
}
