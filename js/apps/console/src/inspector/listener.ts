/** Listens as somebody else: a short-lived token, a connection of its own, and what arrives on it. */
import { type Channel, type ChannelStatus, createClient, type JsonObject, type PresenceState, type RealtimeSubscription, type Store, type TidewireClient } from "@tidewire/client"

import { ApiError } from "../api.ts"
import { add, type Frames, type Heard, MOST_FRAMES, NO_FRAMES, ofBroadcast, ofChange, ofChannel, ofPresence } from "./frames.ts"
import type { Plan, Reader } from "./reading.ts"

export interface Minted {
  readonly access_token: string
}

/** One channel that was asked for, and how it stands. */
export interface Place {
  readonly name: string
  readonly status: ChannelStatus
}

export interface ListenerState {
  readonly phase: "idle" | "starting" | "listening"
  /** Why there is no token. */
  readonly problem: ApiError | null
  readonly plan: Plan | null
  readonly topic: Place | null
  readonly table: Place | null
  /** What is wrong with the connection itself. */
  readonly trouble: string | null
  readonly presence: PresenceState
  readonly isTracked: boolean
  readonly frames: Frames
}

const NOBODY: PresenceState = new Map()
const IDLE: ListenerState = {
  phase: "idle", problem: null, plan: null, topic: null, table: null, trouble: null, presence: NOBODY, isTracked: false, frames: NO_FRAMES,
}
/** Frames of one such time are shown together: a page that draws each of a thousand by itself does nothing else. */
const TOGETHER_MS = 100

export class Listener implements Store<ListenerState> {
  readonly #mint: (reader: Reader) => Promise<Minted>
  readonly #listeners = new Set<() => void>()
  #state = IDLE
  #client: TidewireClient | null = null
  #channel: Channel | null = null
  #stops: (() => void)[] = []
  #waiting: Heard[] = []
  #timer: ReturnType<typeof setTimeout> | undefined
  /** Counts up with each start and stop: what an earlier one was still waiting for does not count any more. */
  #turn = 0

  constructor(mint: (reader: Reader) => Promise<Minted>) {
    this.#mint = mint
  }

  readonly getSnapshot = (): ListenerState => this.#state

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Listen to something else from now on. Call `stop` in the end. */
  async start(plan: Plan): Promise<void> {
    this.stop()
    const turn = this.#turn
    this.#set({ ...IDLE, phase: "starting", plan })
    try {
      const { access_token } = await this.#mint(plan.reader)
      if (turn === this.#turn) this.#listen(plan, access_token)
    } catch (error) {
      if (turn === this.#turn) this.#set({ ...this.#state, phase: "idle", problem: error instanceof ApiError ? error : new ApiError(0, null) })
    }
  }

  /** Hang up. What was heard stays. */
  stop(): void {
    this.#turn += 1
    this.#flush()
    for (const stop of this.#stops.splice(0)) stop()
    this.#client?.close()
    this.#client = this.#channel = null
    this.#set({ ...this.#state, phase: "idle", topic: null, table: null, trouble: null, presence: NOBODY, isTracked: false })
  }

  clear(): void {
    this.#waiting = []
    this.#set({ ...this.#state, frames: NO_FRAMES })
  }

  /** Send a broadcast into the topic. Rejects with what the server has against it. */
  async send(event: string, payload: unknown): Promise<void> {
    await this.#channel?.send(event, payload)
  }

  /** Be seen in the topic, until `untrack`. */
  async track(meta: JsonObject): Promise<void> {
    await this.#channel?.track(meta)
    if (this.#channel) this.#set({ ...this.#state, isTracked: true })
  }

  async untrack(): Promise<void> {
    await this.#channel?.untrack()
    this.#set({ ...this.#state, isTracked: false })
  }

  #listen(plan: Plan, first: string): void {
    let next: string | null = first
    const accessToken = async (): Promise<string> => {
      const token = next ?? (await this.#mint(plan.reader)).access_token
      next = null // whoever asks again wants another one
      return token
    }
    const client = (this.#client = createClient(location.origin, { apikey: first, accessToken }))
    this.#set({ ...this.#state, phase: "listening" })
    this.#watch(client.status, ({ state, reason, detail, attempt }) => {
      const isAway = state === "disconnected" && reason !== "idle"
      const trouble = isAway || attempt > 1 ? (detail ?? "The server does not answer.") : null
      if (trouble !== this.#state.trouble) this.#set({ ...this.#state, trouble })
    })
    if (plan.topic) this.#join(client, plan.topic, plan.reader)
    if (plan.table) this.#follow(client, plan.table)
  }

  #join(client: TidewireClient, { name, isPrivate }: NonNullable<Plan["topic"]>, { user }: Reader): void {
    const channel = (this.#channel = client.channel(name, {
      private: isPrivate, self: true, ack: true, ...(user === null ? {} : { presenceKey: user }),
    }))
    this.#stops.push(
      channel.onBroadcast("*", (message) => this.#hear(ofBroadcast(message, name, Date.now()))),
      channel.onPresence({
        onJoin: (key, presences) => this.#hear(ofPresence("join", key, presences, name, Date.now())),
        onLeave: (key, presences) => this.#hear(ofPresence("leave", key, presences, name, Date.now())),
      }),
    )
    this.#watch(channel.presence, (presence) => this.#set({ ...this.#state, presence }))
    this.#place("topic", name, channel.status)
  }

  #follow(client: TidewireClient, { name, options }: NonNullable<Plan["table"]>): void {
    const full = `${options.schema ?? "public"}.${name}`
    const subscription: RealtimeSubscription = client.subscribeToTable(name, (event) => this.#hear(ofChange(event, Date.now())), {
      ...options,
      onGap: ({ reason }) => this.#hear(ofChannel("gap", full, reason, Date.now())),
    })
    this.#place("table", full, subscription.status)
  }

  #place(which: "topic" | "table", name: string, status: Store<ChannelStatus>): void {
    let before: ChannelStatus["state"] | null = null
    this.#watch(status, (now) => {
      this.#set({ ...this.#state, [which]: { name, status: now } })
      const isNews = now.state !== before && (now.state === "joined" || now.state === "refused" || before === "joined")
      if (isNews) this.#hear(ofChannel(now.state, name, now.reason, Date.now()))
      before = now.state
    })
  }

  #watch<S>(store: Store<S>, look: (value: S) => void): void {
    look(store.getSnapshot())
    this.#stops.push(store.subscribe(() => look(store.getSnapshot())))
  }

  #hear(heard: Heard): void {
    this.#waiting.push(heard)
    if (this.#waiting.length >= MOST_FRAMES) this.#flush() // the timers of a hidden tab are slow
    else this.#timer ??= setTimeout(() => this.#flush(), TOGETHER_MS)
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const heard = this.#waiting.splice(0)
    if (heard.length > 0) this.#set({ ...this.#state, frames: add(this.#state.frames, heard) })
  }

  #set(state: ListenerState): void {
    this.#state = state
    for (const listener of [...this.#listeners]) listener()
  }
}
