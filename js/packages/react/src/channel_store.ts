/** A channel as a store: opened when somebody watches, left when nobody does. So it survives what StrictMode does. */
import type { Channel, ChannelOptions, ChannelStatus, PresenceState, Store, TidewireClient } from "@tidewire/client"

export interface OpenChannel {
  /** Null while nobody watches, and before the first effect. */
  readonly channel: Channel | null
  readonly presence: PresenceState
  readonly status: ChannelStatus
}

const WAITING: OpenChannel = { channel: null, presence: new Map(), status: { state: "waiting", reason: null } }

export class ChannelStore implements Store<OpenChannel> {
  readonly #open: () => Channel
  readonly #listeners = new Set<() => void>()
  #snapshot = WAITING
  #close: (() => void) | null = null

  constructor(client: TidewireClient, topic: string, options: ChannelOptions) {
    this.#open = () => client.channel(topic, options)
  }

  readonly getSnapshot = (): OpenChannel => this.#snapshot

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    this.#close ??= this.#opened()
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size) return
      this.#close?.()
      this.#close = null
    }
  }

  #opened(): () => void {
    const channel = this.#open()
    const look = () => {
      this.#snapshot = { channel, presence: channel.presence.getSnapshot(), status: channel.status.getSnapshot() }
      for (const listener of [...this.#listeners]) listener()
    }
    const stops = [channel.presence.subscribe(look), channel.status.subscribe(look)]
    look()
    return () => {
      for (const stop of stops) stop()
      channel.leave()
      this.#snapshot = WAITING
    }
  }
}

/** What a hook watches that is switched off. */
export const NO_CHANNEL: Store<OpenChannel> = { subscribe: () => () => undefined, getSnapshot: () => WAITING }
