/** Decides which transport is tried next: the best one first, a lesser one where better ones do not come through.

Theory of operation. A page cannot see why a WebSocket failed: the network may forbid it, or the server may be down. So
the next rung is tried at once, and its failure tells more: where plain HTTP does not reach the server either, the
WebSocket is not to blame. What has worked once in the life of the page is given up only after several failures. */
import type { TransportName } from "../types.ts"
import type { Timing } from "./timing.ts"

/** How an attempt failed: `unclear` and `silent` may be the transport's fault, and `unusable` is; the others are not. */
export type Failure = "unclear" | "silent" | "unusable" | "unreachable" | "refused" | "later"

const STRIKES_OF_A_PROVEN_ONE = 3

export class Ladder {
  readonly #rungs: readonly TransportName[]
  readonly #timing: Timing
  #at = 0
  #home = 0
  #isProven = false
  #strikes = 0
  #upgrades = 0

  constructor(rungs: readonly TransportName[], timing: Timing) {
    this.#rungs = rungs
    this.#timing = timing
  }

  get current(): TransportName {
    return this.#rungs[this.#at] ?? "websocket"
  }

  /** Something came over it: this is where to begin for the rest of the page's life. */
  worked(): void {
    this.#home = this.#at
    this.#isProven = true
    this.#strikes = 0
  }

  /** Take a failure. True: try the now current one at once. False: wait, and begin where it last worked. */
  failed(failure: Failure): boolean {
    const isItsFault = failure === "unclear" || failure === "silent" || failure === "unusable"
    if (isItsFault) {
      const isProven = this.#isProven && this.#at === this.#home
      this.#strikes += 1
      if (isProven && this.#strikes < STRIKES_OF_A_PROVEN_ONE) return false
      if (this.#at + 1 < this.#rungs.length) {
        this.#at += 1
        return true
      }
    }
    this.#at = this.#home
    this.#strikes = 0
    return false
  }

  /** When to try the best one again beside the one that works; null if that is it. */
  upgradeAt(now: number): number | null {
    if (this.#at === 0) return null
    return now + Math.min(this.#timing.upgradeMaxMs, this.#timing.upgradeMs * 2 ** this.#upgrades)
  }

  /** What to try beside the one that works. */
  get best(): TransportName {
    return this.#rungs[0] ?? this.current
  }

  /** Take the outcome of that. True: it works now, connect anew. */
  tried(isUsable: boolean): boolean {
    this.#upgrades = isUsable ? 0 : Math.min(this.#upgrades + 1, 10)
    if (isUsable) {
      this.#at = this.#home = 0
      this.#strikes = 0
    }
    return isUsable
  }
}
