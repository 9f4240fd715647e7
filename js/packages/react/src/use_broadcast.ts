/** Hears and sends the broadcasts of a topic. */
import type { BroadcastMessage, Channel, ChannelOptions, ChannelStatus } from "@tidewire/client"
import { TidewireError } from "@tidewire/client"
import { useCallback, useEffect } from "react"

import { useLatest } from "./latest.ts"
import { useChannel } from "./use_channel.ts"

export interface BroadcastOptions extends ChannelOptions {
  /** False: not in the topic. */
  readonly enabled?: boolean
}

export interface Broadcast {
  readonly status: ChannelStatus
  /** Waits for the channel if need be. Rejects when it cannot be sent, or the component is not mounted. */
  readonly send: Channel["send"]
}

/** Call `listener` for each message of an event, "*" for all. It may be another function each time. */
export function useBroadcast(
  topic: string,
  event: string,
  listener: (message: BroadcastMessage) => void,
  { enabled = true, ...options }: BroadcastOptions = {},
): Broadcast {
  const { channel, status } = useChannel(enabled ? topic : null, options)
  const latest = useLatest(listener)
  useEffect(() => channel?.onBroadcast(event, (message) => latest.current(message)), [channel, event, latest])
  const current = useLatest(channel)
  const send = useCallback<Channel["send"]>(
    (name, payload) => current.current?.send(name, payload) ?? Promise.reject(notMounted()),
    [current],
  )
  return { status, send }
}

function notMounted(): TidewireError {
  return new TidewireError("ChannelLeft", "sending a broadcast: expected a mounted component with `enabled`, got another", {
    hint: "send from event handlers, not while rendering",
  })
}
