/** One connection as a machine: events with the time go in, effects come out. No timers, sockets, clocks or chance.

Theory of operation. `CONNECTION_TABLE` says for every state and event what is done. A link that has opened is *proving*
until something came over it, because there are networks that let a WebSocket open and then say nothing. Channels join
in that time already. Whoever owns the machine calls `tick` when `deadline` has come; ticks that are early or late do no
harm. */
import type { StatusReason, TransportName } from "../types.ts"
import { backoffMs, laterMs } from "./backoff.ts"
import {
  CONNECTION_TABLE, type ConnectionAction, type ConnectionEffect, type ConnectionEvent, type ConnectionState,
} from "./connection_table.ts"
import { type Failure, Ladder } from "./ladder.ts"
import type { Timing } from "./timing.ts"

/** A link that lived so long was a success. */
const LASTING_MS = 10_000

export class ConnectionMachine {
  state: ConnectionState = "idle"
  /** Why it is not live. */
  reason: StatusReason | null = "idle"
  detail: string | null = null
  rttMs: number | null = null
  retryAt: number | null = null

  readonly #ladder: Ladder
  readonly #timing: Timing
  readonly #random: () => number
  #effects: ConnectionEffect[] = []
  #openBy = 0
  #beatAt = 0
  #beatSentAt: number | null = null
  #upgradeAt: number | null = null
  #lingerUntil: number | null = null
  #isOffline = false
  #isHidden = false
  #failures = 0
  #liveSince = 0

  constructor(transports: readonly TransportName[], timing: Timing, random: () => number) {
    this.#ladder = new Ladder(transports, timing)
    this.#timing = timing
    this.#random = random
  }

  /** What carries the messages, or will. */
  get transport(): TransportName {
    return this.#ladder.current
  }

  /** How many times in a row it failed; 0 while it is live. */
  get attempt(): number {
    return this.state === "live" ? 0 : this.#failures
  }

  /** Whether channels may join. */
  get isUp(): boolean {
    return this.state === "proving" || this.state === "live"
  }

  /** When to call with `tick` at the latest. */
  get deadline(): number | null {
    const { state } = this
    if (state === "waiting") return this.retryAt
    if (state === "idle" || state === "closed") return null
    const moments = [this.#lingerUntil]
    if (state === "opening") moments.push(this.#openBy)
    else moments.push(this.#beatSentAt === null ? this.#beatAt : this.#beatSentAt + this.#timing.beatMs)
    if (state === "live") moments.push(this.#upgradeAt)
    return Math.min(...moments.filter((moment) => moment !== null))
  }

  /** Take what happened, and return what is to be done, in this order. */
  receive(event: ConnectionEvent, now: number): readonly ConnectionEffect[] {
    this.#effects = []
    ACTIONS[CONNECTION_TABLE[this.state][event.type]](this, now, event)
    return this.#effects
  }

  // --- what the actions are made of: for the table below -------------------------------------------------------

  /** @internal */ open(now: number): void {
    this.state = "opening"
    this.retryAt = null
    this.#openBy = now + this.#timing.openMs
    this.#do({ type: "open", transport: this.transport })
  }

  /** @internal */ opened(now: number): void {
    this.state = "proving"
    this.beat(now)
    this.#do({ type: "up" })
  }

  /** @internal */ beat(now: number): void {
    this.#beatSentAt = now
    this.#beatAt = now + (this.#isHidden ? this.#timing.hiddenBeatEveryMs : this.#timing.beatEveryMs)
    this.#do({ type: "beat" })
  }

  /** @internal Beat now, unless an answer is being waited for. */ check(now: number): void {
    if (this.#beatSentAt === null) this.beat(now)
  }

  /** @internal */ hear(now: number): void {
    if (this.state === "live") return
    this.state = "live"
    this.reason = this.detail = null
    this.#liveSince = now
    this.#ladder.worked()
    this.#upgradeAt = this.#ladder.upgradeAt(now)
  }

  /** @internal */ answered(now: number): void {
    this.hear(now)
    if (this.#beatSentAt !== null) this.rttMs = now - this.#beatSentAt
    this.#beatSentAt = null
  }

  /** @internal The link has failed: try the next transport, or wait. */
  fail(now: number, failure: Failure, detail: string): void {
    const wasLive = this.state === "live"
    this.#drop()
    this.reason = this.#reasonOf(failure, wasLive)
    this.detail = detail || null
    if (this.#lingerUntil !== null) {
      this.rest()
    } else if (!wasLive && this.#ladder.failed(failure)) {
      this.open(now)
    } else {
      // A link that did not last does not count as a success, or a server that hangs up at once would be besieged.
      if (wasLive && now - this.#liveSince >= LASTING_MS) this.#failures = 0
      this.#failures += 1
      this.state = "waiting"
      const pauseMs =
        failure === "later" ? laterMs(this.#timing, this.#random) : backoffMs(this.#failures, this.#timing, this.#random)
      this.retryAt = now + pauseMs
    }
  }

  /** @internal */ silent(now: number, detail: string): void {
    this.#do({ type: "hangUp" })
    this.fail(now, "silent", detail)
  }

  /** @internal */ rest(): void {
    this.state = "idle"
    this.reason = "idle"
    this.detail = this.retryAt = this.rttMs = this.#lingerUntil = null
    this.#failures = 0
  }

  /** @internal */ hangUp(): void {
    this.#do({ type: "hangUp" })
    this.#drop()
  }

  /** @internal */ linger(now: number): void {
    this.#lingerUntil = now + this.#timing.lingerMs
  }

  /** @internal */ stay(): void {
    this.#lingerUntil = null
  }

  /** @internal True if nobody has wanted the connection for long enough; then it is gone. */ isLeft(now: number): boolean {
    if (this.#lingerUntil === null || now < this.#lingerUntil) return false
    this.hangUp()
    this.rest()
    return true
  }

  /** @internal */ tickOpening(now: number): void {
    if (!this.isLeft(now) && now >= this.#openBy) this.silent(now, "no answer while connecting")
  }

  /** @internal */ tickUp(now: number): void {
    if (this.isLeft(now)) return
    if (this.#beatSentAt !== null && now >= this.#beatSentAt + this.#timing.beatMs) {
      this.silent(now, "a heartbeat was not answered")
      return
    }
    if (now >= this.#beatAt) this.check(now)
    if (this.#upgradeAt !== null && now >= this.#upgradeAt) {
      this.#upgradeAt = null
      this.#do({ type: "probe", transport: this.#ladder.best })
    }
  }

  /** @internal */ upgrade(now: number, isUsable: boolean): void {
    if (this.#ladder.tried(isUsable)) this.restart(now)
    else this.#upgradeAt = this.#ladder.upgradeAt(now)
  }

  /** @internal */ restart(now: number): void {
    this.hangUp()
    this.open(now)
  }

  /** @internal */ retryNow(now: number): void {
    this.#failures = 0
    this.open(now)
  }

  /** @internal */ network(isOffline: boolean): void {
    this.#isOffline = isOffline
    if (this.state === "waiting" && isOffline) this.reason = "offline"
  }

  /** @internal */ sight(isHidden: boolean): void {
    this.#isHidden = isHidden
  }

  /** @internal */ end(): void {
    this.hangUp()
    this.rest()
    this.state = "closed"
    this.reason = "closed"
  }

  #drop(): void {
    this.#beatSentAt = this.#upgradeAt = this.rttMs = null
    if (this.isUp) this.#do({ type: "down" })
  }

  #reasonOf(failure: Failure, wasLive: boolean): StatusReason {
    if (this.#isOffline) return "offline"
    if (failure === "silent") return "silent"
    if (failure === "refused" || failure === "later") return "refused"
    return wasLive ? "lost" : "unreachable"
  }

  #do(effect: ConnectionEffect): void {
    this.#effects.push(effect)
  }
}

const goBySight = (m: ConnectionMachine, isHidden: boolean, then: () => void = () => undefined): void => {
  m.sight(isHidden)
  then()
}

const ACTIONS: Readonly<Record<ConnectionAction, (m: ConnectionMachine, now: number, event: ConnectionEvent) => unknown>> = {
  ignore: () => undefined,
  start: (m, now) => m.open(now),
  stop: (m) => m.rest(),
  stay: (m) => m.stay(),
  linger: (m, now) => m.linger(now),
  opened: (m, now) => m.opened(now),
  hear: (m, now) => m.hear(now),
  answered: (m, now) => m.answered(now),
  failed: (m, now, event) => event.type === "ended" && m.fail(now, event.failure, event.detail),
  tickWaiting: (m, now) => m.retryAt !== null && now >= m.retryAt && m.open(now),
  tickOpening: (m, now) => m.tickOpening(now),
  tickUp: (m, now) => m.tickUp(now),
  retryNow: (m, now) => {
    m.network(false)
    m.retryNow(now)
  },
  retryShown: (m, now) => goBySight(m, false, () => m.retryNow(now)),
  checkOnline: (m, now) => {
    m.network(false)
    m.check(now)
  },
  // The browser may be wrong, and loopback needs no network: a heartbeat tells.
  checkOffline: (m, now) => {
    m.network(true)
    m.check(now)
  },
  checkShown: (m, now) => goBySight(m, false, () => m.check(now)),
  restart: (m, now) => m.restart(now),
  noteOnline: (m) => m.network(false),
  noteOffline: (m) => m.network(true),
  show: (m) => goBySight(m, false),
  hide: (m) => goBySight(m, true),
  upgrade: (m, now, event) => event.type === "probed" && m.upgrade(now, event.isUsable),
  end: (m) => m.end(),
}
