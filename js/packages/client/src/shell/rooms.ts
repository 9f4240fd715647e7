/** Channels for broadcasts and presence. Handles of one topic share one channel, which the last one leaves. */
import { TidewireError } from "../errors.ts"
import { call, Source, type Store } from "../store.ts"
import type { BroadcastMessage, ChannelOptions, ChannelStatus, JsonObject, PresenceHandlers, PresenceState } from "../types.ts"
import { isObject, type Payload } from "../wire/codec.ts"
import { type Arrivals, readDiff, readState } from "../wire/presence.ts"
import type { ChannelSession, Content } from "./channel_session.ts"
import type { Hub } from "./hub.ts"

/** One user's handle of a channel. */
export interface Channel {
  readonly topic: string
  readonly presence: Store<PresenceState>
  readonly status: Store<ChannelStatus>
  onBroadcast(event: string, listener: (message: BroadcastMessage) => void): () => void
  onPresence(handlers: PresenceHandlers): () => void
  send(event: string, payload: unknown): Promise<void>
  track(meta: JsonObject): Promise<void>
  untrack(): Promise<void>
  leave(): void
}

export class Rooms {
  readonly #hub: Hub
  readonly #rooms = new Map<string, Room>()

  constructor(hub: Hub) {
    this.#hub = hub
  }

  /** Return another handle of a channel, joining it if need be. */
  open(topic: string, options: ChannelOptions): Channel {
    const found = this.#rooms.get(topic)
    if (!found || this.#hub.find(found.session.topic) !== found.session) {
      const made = new Room(this.#hub, topic, options)
      this.#rooms.set(topic, made)
      for (const [name, { session }] of this.#rooms) if (this.#hub.find(session.topic) !== session) this.#rooms.delete(name)
      return made.handle()
    }
    if (JSON.stringify(found.options) !== JSON.stringify(sorted(options))) {
      throw new TidewireError("ChannelOptionsDiffer", `opening ${topic}: expected the options it was opened with, got others`, {
        hint: "give the same options everywhere, or use another topic",
      })
    }
    return found.handle()
  }
}

class Room implements Content {
  readonly session: ChannelSession
  readonly options: ChannelOptions
  readonly #hub: Hub
  readonly #topic: string
  readonly #presence = new Source<PresenceState>(new Map())
  readonly #listeners = new Set<{ event: string; hear: (message: BroadcastMessage) => void }>()
  readonly #watchers = new Set<PresenceHandlers>()
  readonly #handles = new Set<object>()
  #knowsWhoIsThere = false
  /** Who tracked last speaks for the page: a channel has one place in its topic. */
  #tracked: { owner: object; meta: JsonObject } | null = null
  #trackers: { resolve: () => void; reject: (error: unknown) => void }[] = []

  constructor(hub: Hub, topic: string, options: ChannelOptions) {
    this.#hub = hub
    this.#topic = topic
    this.options = sorted(options)
    this.session = hub.join(`realtime:${topic}`, this)
  }

  handle(): Channel {
    const owner = {}
    const stops = new Set<() => void>()
    this.#handles.add(owner)
    this.#hub.tell(this.session, "want")
    const add = <T>(set: Set<T>, entry: T) => {
      set.add(entry)
      const stop = () => {
        set.delete(entry)
        stops.delete(stop)
      }
      stops.add(stop)
      return stop
    }
    return {
      topic: this.#topic,
      presence: this.#presence,
      status: this.session.status,
      onBroadcast: (event, hear) => add(this.#listeners, { event, hear }),
      onPresence: (handlers) => add(this.#watchers, { ...handlers }),
      send: (event, payload) => this.session.broadcast(event, payload, this.options.ack === true),
      track: (meta) => this.#track(owner, meta),
      untrack: () => this.#untrack(owner),
      leave: () => {
        for (const stop of [...stops]) stop()
        if (this.#handles.delete(owner)) this.#left(owner)
      },
    }
  }

  config(): Payload {
    const { ack = false, self = false, replay, presence = true, presenceKey = "", private: isPrivate = false } = this.options
    return {
      broadcast: { ack, self, ...(replay ? { replay } : {}) },
      presence: { enabled: presence, key: presenceKey },
      private: isPrivate,
    }
  }

  joined(): void {
    this.#knowsWhoIsThere = false
    const trackers = this.#trackers.splice(0)
    if (!this.#tracked) return
    this.#pushTrack(this.#tracked.meta).then(
      () => trackers.forEach((tracker) => tracker.resolve()),
      (error: unknown) => trackers.forEach((tracker) => tracker.reject(error)),
    )
  }

  message(event: string, payload: Payload): void {
    if (event === "broadcast") this.#hear(payload)
    else if (event === "presence_state") this.#arrived(readState(this.#presence.getSnapshot(), payload))
    else if (event === "presence_diff" && this.#knowsWhoIsThere) this.#arrived(readDiff(this.#presence.getSnapshot(), payload))
  }

  refused(reason: string): void {
    for (const tracker of this.#trackers.splice(0)) tracker.reject(new TidewireError("ChannelRefused", reason))
  }

  reached(): void {
    // no row changes, no positions
  }

  interrupted(): void {
    this.#knowsWhoIsThere = false // the next state says who came and went in the meantime
  }

  #hear({ event, payload, meta }: Payload): void {
    if (typeof event !== "string") return
    const message: BroadcastMessage = { event, payload, meta: isObject(meta) ? (meta as JsonObject) : null }
    for (const listener of [...this.#listeners]) {
      if (listener.event === "*" || listener.event === event) call(listener.hear, message)
    }
  }

  #arrived({ state, joins, leaves }: Arrivals): void {
    this.#knowsWhoIsThere = true
    this.#presence.set(state)
    for (const watcher of [...this.#watchers]) {
      for (const [key, presences] of leaves) call(watcher.onLeave, key, presences)
      for (const [key, presences] of joins) call(watcher.onJoin, key, presences)
      call(watcher.onSync, state)
    }
  }

  #track(owner: object, meta: JsonObject): Promise<void> {
    this.#tracked = { owner, meta }
    if (this.session.isJoined) return this.#pushTrack(meta)
    return new Promise((resolve, reject) => this.#trackers.push({ resolve, reject }))
  }

  #pushTrack(meta: JsonObject): Promise<void> {
    return this.session.push("presence", { type: "presence", event: "track", payload: meta })
  }

  #untrack(owner: object): Promise<void> {
    if (this.#tracked?.owner !== owner) return Promise.resolve()
    this.#tracked = null
    for (const tracker of this.#trackers.splice(0)) tracker.resolve()
    return this.session.isJoined ? this.session.push("presence", { type: "presence", event: "untrack" }) : Promise.resolve()
  }

  #left(owner: object): void {
    if (this.#handles.size) this.#untrack(owner).catch(() => undefined) // the others are still here
    else this.#hub.tell(this.session, "unwant")
  }
}

/** Options in one order, so that equal ones are the same text. */
function sorted(options: ChannelOptions): ChannelOptions {
  return Object.fromEntries(Object.entries(options).sort(([one], [other]) => (one < other ? -1 : 1)))
}
