/** Shows a list that stays exact. */
import type { Row, RowsQuery, RowsSnapshot, RowsStore } from "@tidewire/client"
import { useMemo } from "react"

import { useClient } from "./provider.tsx"
import { useStore } from "./use_store.ts"

export interface LiveRows<T> extends RowsSnapshot<T> {
  /** Try again after an error. */
  readonly reload: () => void
}

const NOTHING: RowsSnapshot<never> = {
  state: "loading",
  rows: [],
  error: null,
  isExact: true,
  isComplete: true,
  changed: null,
}
const NO_ROWS: RowsStore<never> = {
  subscribe: () => () => undefined,
  getSnapshot: () => NOTHING,
  reload: () => undefined,
}

/** Load a list once and keep it as the table is. Equal queries share one list; null: nothing is asked for yet. */
export function useRows<T = Row>(query: RowsQuery | null): LiveRows<T> {
  const client = useClient()
  const key = JSON.stringify(query) // objects written in place are new each time, and mean the same
  const store = useMemo(() => {
    const wanted = JSON.parse(key) as RowsQuery | null
    return wanted === null ? NO_ROWS : client.rows<T>(wanted)
  }, [client, key])
  const snapshot = useStore(store)
  return useMemo(() => ({ ...snapshot, reload: () => store.reload() }), [snapshot, store])
}
