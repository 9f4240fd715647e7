/** Follows the changes of a table. */
import type { RealtimeEvent, Row, TableOptions, TidewireError } from "@tidewire/client"
import { useEffect, useState } from "react"

import { useLatest } from "./latest.ts"
import { useClient } from "./provider.tsx"

export interface RealtimeTableOptions extends TableOptions {
  /** False: nothing is followed. */
  readonly enabled?: boolean
}

export interface RealtimeTable {
  /** Whether changes have been live since this was last asked for. How the connection is, says useRealtimeConnection. */
  readonly isReady: boolean
  /** Refused for good, until `reconnect`. */
  readonly error: TidewireError | null
}

interface Outcome extends RealtimeTable {
  readonly of: string
}

/** Call `callback` for each change from now on. It may be another function each time; the latest is called. */
export function useRealtimeTable<T = Row>(
  table: string,
  callback: (event: RealtimeEvent<T>) => void,
  { enabled = true, onGap, onReady, onError, ...asked }: RealtimeTableOptions = {},
): RealtimeTable {
  const client = useClient()
  const latest = useLatest({ callback, onGap, onReady, onError })
  const wish = JSON.stringify(asked) // objects written in place are new each time, and mean the same
  const of = `${table} ${wish}`
  const [outcome, setOutcome] = useState<Outcome>({ of, isReady: false, error: null })
  useEffect(() => {
    if (!enabled) return
    const subscription = client.subscribeToTable<T>(table, (event) => latest.current.callback(event), {
      ...(JSON.parse(wish) as TableOptions),
      onGap: (gap) => latest.current.onGap?.(gap),
      onReady() {
        setOutcome({ of, isReady: true, error: null })
        latest.current.onReady?.()
      },
      onError(error) {
        setOutcome({ of, isReady: false, error })
        latest.current.onError?.(error)
      },
    })
    return () => {
      subscription.unsubscribe()
      setOutcome({ of, isReady: false, error: null })
    }
  }, [client, table, wish, of, enabled, latest])
  return outcome.of === of ? outcome : { isReady: false, error: null }
}
