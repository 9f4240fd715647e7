/** The time, once a second, from one clock for all components that show ages. */
import type { Store } from "@tidewire/client"
import { useStore } from "@tidewire/react"

const EVERY_MS = 1000

class Clock implements Store<number> {
  readonly #listeners = new Set<() => void>()
  #now = Date.now()
  #timer: ReturnType<typeof setInterval> | undefined

  readonly getSnapshot = (): number => this.#now

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    if (this.#listeners.size === 1) {
      this.#now = Date.now()
      this.#timer = setInterval(() => this.#tick(), EVERY_MS)
    }
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size === 0) clearInterval(this.#timer)
    }
  }

  #tick(): void {
    this.#now = Date.now()
    for (const listener of [...this.#listeners]) listener()
  }
}

const clock = new Clock()

/** Milliseconds since 1970. */
export const useNow = (): number => useStore(clock)
