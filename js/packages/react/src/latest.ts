/** Keeps what a component last rendered with, for callbacks that live longer than one rendering. */
import { type RefObject, useInsertionEffect, useRef } from "react"

/** Read `current` in callbacks only, never while rendering. It is set before any other effect of the component runs. */
export function useLatest<T>(value: T): Readonly<RefObject<T>> {
  const latest = useRef(value)
  useInsertionEffect(() => {
    latest.current = value
  })
  return latest
}
