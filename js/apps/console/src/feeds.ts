/** The feeds of the server, as stores. One that was opened stays open: whoever comes back to a page finds it as it is now. */
import type { ChannelStatus, Store, TidewireClient } from "@tidewire/client"
import { useClient, useStore } from "@tidewire/react"

import * as states from "./feed_states.ts"

export interface Feed<S> {
  /** Null until the server has told it. */
  readonly state: S | null
  readonly status: ChannelStatus
}

type Reduce<S> = (state: S | null, event: string, payload: unknown) => S | null

class FeedStore<S> implements Store<Feed<S>> {
  readonly #open: () => void
  readonly #listeners = new Set<() => void>()
  #feed: Feed<S> = { state: null, status: { state: "joining", reason: null } }
  #isOpen = false

  constructor(client: TidewireClient, topic: string, reduce: Reduce<S>) {
    this.#open = () => {
      const channel = client.channel(topic, { private: true, presence: false })
      channel.onBroadcast("*", ({ event, payload }) => this.#set({ state: reduce(this.#feed.state, event, payload) }))
      channel.status.subscribe(() => this.#set({ status: channel.status.getSnapshot() }))
    }
  }

  readonly getSnapshot = (): Feed<S> => this.#feed

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    if (!this.#isOpen) {
      this.#isOpen = true
      this.#open()
    }
    return () => this.#listeners.delete(listener)
  }

  #set(change: Partial<Feed<S>>): void {
    this.#feed = { ...this.#feed, ...change }
    for (const listener of [...this.#listeners]) listener()
  }
}

/** Make a hook for one feed. Its store is made by the first component that wants it, once for each client. */
function feedHook<S>(topic: string, reduce: Reduce<S>): () => Feed<S> {
  const stores = new WeakMap<TidewireClient, FeedStore<S>>()
  return function useFeed() {
    const client = useClient()
    let store = stores.get(client)
    if (!store) stores.set(client, (store = new FeedStore(client, topic, reduce)))
    return useStore(store)
  }
}

export const useOverview = feedHook("tidewire:overview", states.overview)
export const useConnections = feedHook("tidewire:connections", states.connections)
export const useLog = feedHook("tidewire:log", states.log)
