/** Shows a user in a topic, and tells who else is there. */
import type { ChannelOptions, ChannelStatus, JsonObject, PresenceHandlers, PresenceState } from "@tidewire/client"
import { useEffect } from "react"

import { useLatest } from "./latest.ts"
import { useChannel } from "./use_channel.ts"

export interface PresenceOptions extends Omit<ChannelOptions, "presence" | "presenceKey">, PresenceHandlers {
  /** False: not in the topic. */
  readonly enabled?: boolean
}

export interface RealtimePresence {
  /** Who is there, by user id; one entry for each of a user's pages. */
  readonly users: PresenceState
  readonly status: ChannelStatus
}

/** Without a user id nothing happens, so it may be called before anybody has signed in. */
export function useRealtimePresence(
  topic: string,
  userId: string | null | undefined,
  metadata: JsonObject = {},
  { enabled = true, onSync, onJoin, onLeave, ...options }: PresenceOptions = {},
): RealtimePresence {
  const isOn = enabled && typeof userId === "string" && userId !== ""
  const { channel, presence, status } = useChannel(isOn ? topic : null, { ...options, presenceKey: userId ?? "" })
  const handlers = useLatest<PresenceHandlers>({ onSync, onJoin, onLeave } as PresenceHandlers)
  useEffect(
    () =>
      channel?.onPresence({
        onSync: (state) => handlers.current.onSync?.(state),
        onJoin: (key, presences) => handlers.current.onJoin?.(key, presences),
        onLeave: (key, presences) => handlers.current.onLeave?.(key, presences),
      }),
    [channel, handlers],
  )
  const shown = JSON.stringify(metadata)
  useEffect(() => {
    if (!channel) return
    const meta = JSON.parse(shown) as JsonObject
    // A refusal is seen in the status; nobody waits for this promise.
    channel.track({ ...meta, user_id: userId ?? "", online_at: new Date().toISOString() }).catch(() => undefined)
  }, [channel, shown, userId])
  return { users: presence, status }
}
