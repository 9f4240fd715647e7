/** Binds a channel to a component. For the hooks of this package; applications use those. */
import type { ChannelOptions } from "@tidewire/client"
import { useMemo } from "react"

import { ChannelStore, NO_CHANNEL, type OpenChannel } from "./channel_store.ts"
import { useClient } from "./provider.tsx"
import { useStore } from "./use_store.ts"

/** Be in a topic for as long as the component is mounted; null: in none. */
export function useChannel(topic: string | null, options: ChannelOptions): OpenChannel {
  const client = useClient()
  const key = JSON.stringify(options) // objects written in place are new each time, and mean the same
  const store = useMemo(
    () => (topic === null ? NO_CHANNEL : new ChannelStore(client, topic, JSON.parse(key) as ChannelOptions)),
    [client, topic, key],
  )
  return useStore(store)
}
