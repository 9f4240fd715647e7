/** Binds a store to a component. */
import type { Store } from "@tidewire/client"
import { useCallback, useSyncExternalStore } from "react"

/** Return what the store holds, and render again when that is another. Keep the store itself the same. */
export function useStore<S>(store: Store<S>): S {
  const subscribe = useCallback((listener: () => void) => store.subscribe(listener), [store])
  const look = () => store.getSnapshot()
  return useSyncExternalStore(subscribe, look, look)
}
