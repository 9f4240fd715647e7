/** One channel as a machine: events with the time go in, effects come out. Knows nothing of what the channel carries.

Theory of operation. A join waits for a token first, so that it never goes out without one. What ends a channel decides
how it comes back: at once with another token, after a growing pause, later, or not before somebody asks. Effects
carry out what the table says; `join` names the ref that the reply must have. */
import type { ComeBack } from "../wire/reasons.ts"
import { backoffMs, laterMs } from "./backoff.ts"
import type { Timing } from "./timing.ts"

export type ChannelState = "away" | "asking" | "joining" | "joined" | "waiting" | "refused" | "left"

export type ChannelEvent =
  | { readonly type: "up" | "down" | "token" | "noToken" | "accepted" | "tick" | "want" | "unwant" | "retry" | "restart" }
  | { readonly type: "ended"; readonly reason: string; readonly comeBack: ComeBack }

export type ChannelEffect =
  /** `fresh`: the one that was used was refused. Answer with `token` or `noToken`. */
  | { readonly type: "needToken"; readonly fresh: boolean }
  | { readonly type: "join" | "leave" | "joined" }
  | { readonly type: "refused"; readonly reason: string }

type Action =
  | "ignore" | "ask" | "away" | "join" | "noToken" | "accept" | "ended" | "tickAsking" | "tickJoining" | "tickJoined"
  | "tickWaiting" | "stay" | "linger" | "leave" | "quit" | "rejoin" | "wantAgain"

export const CHANNEL_TABLE: Readonly<Record<ChannelState, Readonly<Record<ChannelEvent["type"], Action>>>> = {
  // What is ignored cannot come in that state, or changes nothing there.
  away: {
    up: "ask", down: "ignore", token: "ignore", noToken: "ignore", accepted: "ignore", ended: "ignore",
    tick: "ignore", want: "ignore", unwant: "quit", retry: "ignore", restart: "ignore",
  },
  asking: {
    up: "ignore", down: "away", token: "join", noToken: "noToken", accepted: "ignore", ended: "ignore",
    tick: "tickAsking", want: "ignore", unwant: "quit", retry: "ignore", restart: "ignore",
  },
  joining: {
    up: "ignore", down: "away", token: "ignore", noToken: "ignore", accepted: "accept", ended: "ended",
    tick: "tickJoining", want: "ignore", unwant: "leave", retry: "ignore", restart: "rejoin",
  },
  joined: {
    up: "ignore", down: "away", token: "ignore", noToken: "ignore", accepted: "ignore", ended: "ended",
    tick: "tickJoined", want: "stay", unwant: "linger", retry: "ignore", restart: "rejoin",
  },
  waiting: {
    up: "ignore", down: "away", token: "ignore", noToken: "ignore", accepted: "ignore", ended: "ignore",
    tick: "tickWaiting", want: "ignore", unwant: "quit", retry: "ask", restart: "ask",
  },
  refused: {
    // A new connection meets the same refusal; a new token, or whoever says so, may not.
    up: "ignore", down: "ignore", token: "ignore", noToken: "ignore", accepted: "ignore", ended: "ignore",
    tick: "ignore", want: "ignore", unwant: "quit", retry: "wantAgain", restart: "wantAgain",
  },
  left: {
    up: "ignore", down: "ignore", token: "ignore", noToken: "ignore", accepted: "ignore", ended: "ignore",
    tick: "ignore", want: "wantAgain", unwant: "ignore", retry: "ignore", restart: "ignore",
  },
}

export class ChannelMachine {
  state: ChannelState = "left"
  /** Why it is not joined, in the server's words. */
  reason: string | null = null
  readonly #timing: Timing
  readonly #random: () => number
  #effects: ChannelEffect[] = []
  #isUp = false
  #deadline: number | null = null
  #failures = 0
  /** How often in a row a join was refused because of its token. */
  #refusedTokens = 0

  constructor(timing: Timing, random: () => number) {
    this.#timing = timing
    this.#random = random
  }

  /** When to call with `tick` at the latest. */
  get deadline(): number | null {
    return this.#deadline
  }

  /** Take what happened, and return what is to be done, in this order. */
  receive(event: ChannelEvent, now: number): readonly ChannelEffect[] {
    this.#effects = []
    if (event.type === "up" || event.type === "down") this.#isUp = event.type === "up"
    ACTIONS[CHANNEL_TABLE[this.state][event.type]](this, now, event)
    return this.#effects
  }

  // --- what the actions are made of: for the table below -------------------------------------------------------

  /** @internal */ to(state: ChannelState, deadline: number | null = null): void {
    this.state = state
    this.#deadline = deadline
  }

  /** @internal */ ask(now: number, fresh = false): void {
    this.to("asking", now + this.#timing.tokenMs)
    this.#do({ type: "needToken", fresh })
  }

  /** @internal */ join(now: number): void {
    this.to("joining", now + this.#timing.joinMs)
    this.#do({ type: "join" })
  }

  /** @internal */ accept(): void {
    this.to("joined")
    this.reason = null
    this.#failures = this.#refusedTokens = 0
    this.#do({ type: "joined" })
  }

  /** @internal */ ended(now: number, reason: string, comeBack: ComeBack): void {
    const wasJoined = this.state === "joined"
    if (this.isLingering) {
      this.to("left")
      return
    }
    this.reason = reason
    const help = wasJoined ? comeBack : this.#afterRefusedToken(comeBack)
    if (help === "new_token" || help === "permission") {
      this.ask(now, true)
    } else if (help === "changed") {
      this.to("refused")
      this.#do({ type: "refused", reason })
    } else {
      this.wait(now, help === "later")
    }
  }

  /** @internal */ wait(now: number, isLater: boolean): void {
    this.#failures += 1
    const pauseMs = isLater ? laterMs(this.#timing, this.#random) : backoffMs(this.#failures, this.#timing, this.#random)
    this.to("waiting", now + pauseMs)
  }

  /** @internal */ isDue(now: number): boolean {
    return this.#deadline !== null && now >= this.#deadline
  }

  /** @internal */ leave(): void {
    this.#do({ type: "leave" })
    this.to("left")
  }

  /** @internal */ linger(now: number): void {
    this.#deadline = now + this.#timing.leaveMs
  }

  /** @internal */ timeOut(now: number, reason: string): void {
    this.reason = reason
    this.wait(now, false)
  }

  /** @internal */ wantAgain(now: number): void {
    this.reason = null
    this.#failures = this.#refusedTokens = 0
    if (this.#isUp) this.ask(now)
    else this.to("away")
  }

  /** The first refusal is answered with a fresh token at once; then with pauses, because a clock may be wrong. */
  #afterRefusedToken(comeBack: ComeBack): ComeBack {
    if (comeBack !== "new_token" && comeBack !== "permission") return comeBack
    this.#refusedTokens += 1
    if (this.#refusedTokens === 1) return "new_token"
    return comeBack === "permission" ? "changed" : "soon"
  }

  /** @internal Whether it is joined and nobody wants it any more. */ get isLingering(): boolean {
    return this.state === "joined" && this.#deadline !== null
  }

  /** @internal Whether the next token must be a fresh one. */ get needsFresh(): boolean {
    return this.#refusedTokens > 0
  }

  #do(effect: ChannelEffect): void {
    this.#effects.push(effect)
  }
}

const ACTIONS: Readonly<Record<Action, (m: ChannelMachine, now: number, event: ChannelEvent) => unknown>> = {
  ignore: () => undefined,
  ask: (m, now) => m.ask(now, m.needsFresh),
  away: (m) => m.to(m.isLingering ? "left" : "away"),
  join: (m, now) => m.join(now),
  noToken: (m, now) => m.timeOut(now, "no token could be had"),
  accept: (m) => m.accept(),
  ended: (m, now, event) => event.type === "ended" && m.ended(now, event.reason, event.comeBack),
  tickAsking: (m, now) => m.isDue(now) && m.timeOut(now, "no token could be had in time"),
  tickJoining: (m, now) => {
    if (!m.isDue(now)) return
    m.leave() // the server may have joined it all the same
    m.timeOut(now, "the join was not answered")
  },
  tickJoined: (m, now) => m.isDue(now) && m.leave(),
  tickWaiting: (m, now) => m.isDue(now) && m.ask(now, m.needsFresh),
  stay: (m) => m.to("joined"),
  linger: (m, now) => m.linger(now),
  leave: (m) => m.leave(),
  quit: (m) => m.to("left"),
  rejoin: (m, now) => m.ask(now),
  wantAgain: (m, now) => m.wantAgain(now),
}
