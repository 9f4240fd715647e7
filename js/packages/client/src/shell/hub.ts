/** One page's connection: carries out what the machines say, with a link, a timer and the channels that share it.

Everything that happens is a turn: machines are told, their effects carried out, and at its end the timer is set and the
status told, once. */
import { TidewireError } from "../errors.ts"
import { ConnectionMachine } from "../machine/connection.ts"
import type { ConnectionEffect, ConnectionEvent } from "../machine/connection_table.ts"
import { INITIAL, sumUp } from "../machine/status.ts"
import type { Timing } from "../machine/timing.ts"
import { Source } from "../store.ts"
import type { Link, OpenLink } from "../transport/link.ts"
import type { ConnectionStatus, TransportName } from "../types.ts"
import { decode, encode, type Frame, isObject, type Message } from "../wire/codec.ts"
import { ChannelSession, type Content } from "./channel_session.ts"
import type { Page } from "./page.ts"
import type { Tokens } from "./tokens.ts"

const HEARTBEAT_TOPIC = "phoenix"
const CONTROL: ReadonlySet<string> = new Set(["phx_reply", "phx_close", "phx_error"])

export interface HubParts {
  /** That of the realtime API. */
  readonly url: string
  readonly apikey: string
  readonly transports: ReadonlyMap<TransportName, OpenLink>
  readonly tokens: Tokens
  readonly page: Page | null
  readonly timing: Timing
}

export class Hub {
  readonly status = new Source<ConnectionStatus>({ ...INITIAL, since: Date.now() })
  readonly timing: Timing
  readonly #parts: HubParts
  readonly #connection: ConnectionMachine
  readonly #sessions = new Map<string, ChannelSession>()
  readonly #stopListening: () => void
  #link: Link | null = null
  #probe: Link | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  #depth = 0
  #isWanted = false
  #refs = 0
  #beatRef = ""

  constructor(parts: HubParts) {
    this.#parts = parts
    this.timing = parts.timing
    this.#connection = new ConnectionMachine([...parts.transports.keys()], parts.timing, Math.random)
    if (parts.page && !parts.page.isOnline()) this.#receive({ type: "offline" })
    if (parts.page?.isHidden()) this.#receive({ type: "hidden" })
    this.#stopListening = parts.page?.listen((type) => this.#turn(() => this.#receive({ type }))) ?? (() => undefined)
  }

  /** Return the channel of a topic, if there is one. */
  find(topic: string): ChannelSession | undefined {
    const session = this.#sessions.get(topic)
    return session?.machine.state === "left" ? undefined : session
  }

  /** Join a topic that is not joined. */
  join(topic: string, content: Content): ChannelSession {
    if (this.#connection.state === "closed") {
      throw new TidewireError("ClientClosed", "subscribing: expected a client, got one that was closed", {
        hint: "make another client",
      })
    }
    const session = new ChannelSession(this, topic, content)
    this.#sessions.set(topic, session)
    this.#turn(() => {
      if (this.#connection.isUp) session.receive({ type: "up" })
      session.receive({ type: "want" })
    })
    return session
  }

  /** Tell a channel whether somebody wants it, or to join again. */
  tell(session: ChannelSession, type: "want" | "unwant" | "restart" | "retry"): void {
    this.#turn(() => session.receive({ type }))
  }

  reconnectAll(): void {
    this.#turn(() => {
      for (const session of this.#sessions.values()) session.receive({ type: "retry" })
      this.#receive({ type: "reconnect" })
    })
  }

  close(): void {
    this.#stopListening()
    this.#turn(() => {
      for (const session of this.#sessions.values()) session.receive({ type: "unwant" })
      this.#receive({ type: "close" })
    })
  }

  // --- for channels --------------------------------------------------------------------------------------------

  nextRef(): string {
    this.#refs += 1
    return String(this.#refs)
  }

  send(frame: Frame): void {
    this.#link?.send(frame)
  }

  /** Call one of both in a later turn. */
  withToken(fresh: boolean, then: (token: string | null) => void, otherwise: () => void): void {
    this.#parts.tokens.get(fresh).then(
      (token) => this.#turn(() => then(token)),
      () => this.#turn(otherwise),
    )
  }

  /** Ask for a token now, and tell every channel. */
  async renewToken(): Promise<void> {
    const token = await this.#parts.tokens.get(true)
    this.#turn(() => {
      for (const session of this.#sessions.values()) session.renew(token)
    })
  }

  // --- turns ---------------------------------------------------------------------------------------------------

  #turn(work: () => void): void {
    this.#depth += 1
    try {
      work()
    } finally {
      this.#depth -= 1
      if (this.#depth === 0) this.#settle()
    }
  }

  #settle(): void {
    this.#depth += 1 // whoever is told something here may begin a turn of their own
    for (const [topic, session] of this.#sessions) if (session.machine.state === "left") this.#sessions.delete(topic)
    const isWanted = this.#sessions.size > 0
    if (isWanted !== this.#isWanted) {
      this.#isWanted = isWanted
      this.#receive({ type: isWanted ? "want" : "unwant" })
    }
    this.#depth -= 1
    this.#setTimer()
    const machines = new Map([...this.#sessions].map(([topic, session]) => [topic, session.machine]))
    const before = this.status.getSnapshot()
    const after = sumUp(before, this.#connection, machines, Date.now())
    if (after !== before) this.status.set(after)
  }

  #setTimer(): void {
    clearTimeout(this.#timer)
    const { renewAt } = this.#parts.tokens
    const moments = [this.#connection.deadline, this.#isWanted ? renewAt : null]
    for (const session of this.#sessions.values()) moments.push(session.machine.deadline)
    const next = Math.min(...moments.filter((moment) => moment !== null))
    if (next === Infinity) return
    this.#timer = setTimeout(() => this.#tick(), Math.min(Math.max(0, next - Date.now()), MOST_TIMER_MS))
  }

  #tick(): void {
    const { tokens } = this.#parts
    if (tokens.renewAt !== null && Date.now() >= tokens.renewAt) {
      tokens.renewAt = null // the next one says when it ages; if there is none, the server's refusal asks again
      this.renewToken().catch(() => undefined)
    }
    this.#turn(() => {
      this.#receive({ type: "tick" })
      for (const session of this.#sessions.values()) session.receive({ type: "tick" })
    })
  }

  #receive(event: ConnectionEvent): void {
    for (const effect of this.#connection.receive(event, Date.now())) this.#carryOut(effect)
  }

  #carryOut(effect: ConnectionEffect): void {
    switch (effect.type) {
      case "open":
        this.#open(effect.transport)
        break
      case "probe":
        this.#tryOut(effect.transport)
        break
      case "hangUp":
        this.#link?.close()
        this.#link = null
        this.#endProbe()
        break
      case "beat":
        this.#beatRef = this.nextRef()
        this.send(heartbeat(this.#beatRef))
        break
      default:
        for (const session of this.#sessions.values()) session.receive({ type: effect.type })
    }
  }

  // --- links ---------------------------------------------------------------------------------------------------

  #open(transport: TransportName): void {
    this.#link?.close()
    this.#endProbe()
    const link = this.#connect(transport, {
      opened: () => this.#turn(() => this.#receive({ type: "opened" })),
      frame: (data) => this.#hear(data),
      ended: (failure, detail) =>
        this.#turn(() => {
          this.#link = null
          this.#receive({ type: "ended", failure, detail })
        }),
    })
    this.#link = link
  }

  #connect(transport: TransportName, events: Parameters<OpenLink>[1]): Link | null {
    const { url, apikey, transports } = this.#parts
    try {
      return transports.get(transport)?.({ url, apikey }, events) ?? null
    } catch (error) {
      // A constructor that throws, such as for an address that is none: told like any other failure, in a later turn.
      queueMicrotask(() => events.ended("unusable", String(error)))
      return null
    }
  }

  #hear(data: string | ArrayBuffer): void {
    const message = decode(data)
    // Most of what comes moves no machine, so neither the timer nor the status has to be looked at.
    if (message && this.#connection.state === "live" && !CONTROL.has(message.event)) {
      this.#sessions.get(message.topic)?.hear(message)
      return
    }
    this.#turn(() => {
      this.#receive({ type: "heard" })
      if (!message) return
      if (message.topic === HEARTBEAT_TOPIC) this.#hearHeartbeat(message)
      else this.#sessions.get(message.topic)?.hear(message)
    })
  }

  #hearHeartbeat({ ref, payload: { response } }: Message): void {
    if (ref === this.#beatRef) this.#receive({ type: "answered" })
    const positions = isObject(response) && isObject(response["positions"]) ? response["positions"] : {}
    for (const [topic, position] of Object.entries(positions)) {
      if (typeof position === "string") this.#sessions.get(topic)?.reached(position)
    }
  }

  /** See whether a better transport works by now, beside the one that does. */
  #tryOut(transport: TransportName): void {
    const finish = (isUsable: boolean) => {
      clearTimeout(timer)
      this.#endProbe()
      this.#turn(() => this.#receive({ type: "probed", isUsable }))
    }
    const timer = setTimeout(() => finish(false), this.timing.openMs + this.timing.beatMs)
    const link = this.#connect(transport, {
      opened: () => link?.send(heartbeat("probe")),
      frame: () => finish(true),
      ended: () => finish(false),
    })
    this.#probe = link && {
      send: (frame) => link.send(frame),
      close() {
        clearTimeout(timer)
        link.close()
      },
    }
  }

  #endProbe(): void {
    this.#probe?.close()
    this.#probe = null
  }
}

/** Longer timers end at once in browsers. */
const MOST_TIMER_MS = 2 ** 31 - 1

function heartbeat(ref: string): string {
  const message: Message = { joinRef: null, ref, topic: HEARTBEAT_TOPIC, event: "heartbeat", payload: {} }
  return encode(message)
}
