/** Tells how the connection stands. */
import type { ConnectionStatus } from "@tidewire/client"
import { useMemo } from "react"

import { useClient } from "./provider.tsx"
import { useStore } from "./use_store.ts"

export interface RealtimeConnection {
  readonly status: ConnectionStatus["state"]
  /** Why it is not as it should be: the server's words, or else the client's; null while nothing is wrong. */
  readonly error: string | null
  readonly details: ConnectionStatus
  /** Connect anew at once, and try what was refused again. */
  readonly reconnect: () => void
}

export function useRealtimeConnection(): RealtimeConnection {
  const client = useClient()
  const details = useStore(client.status)
  return useMemo(
    () => ({ status: details.state, error: errorOf(details), details, reconnect: () => client.reconnectAll() }),
    [client, details],
  )
}

function errorOf({ state, reason, detail }: ConnectionStatus): string | null {
  if (state === "connected" || reason === "idle" || reason === "closed" || reason === "joining") return null
  return detail ?? reason
}
