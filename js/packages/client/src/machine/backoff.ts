/** How long to wait before another attempt. */
import type { Timing } from "./timing.ts"

/** Full jitter: anything up to a limit that doubles, so that a crowd that was cut off at once comes back spread out. */
export function backoffMs(attempt: number, timing: Timing, random: () => number): number {
  const most = Math.min(timing.backoffMaxMs, timing.backoffMs * 2 ** Math.min(attempt, 30))
  return Math.round(random() * most)
}

/** For a server that has too much to do: not before half of a longer time. */
export function laterMs(timing: Timing, random: () => number): number {
  return Math.round(timing.laterMs * (0.5 + random() / 2))
}
