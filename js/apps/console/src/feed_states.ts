/** What a feed has told so far, message by message. Pure: each function returns the state after one more message. */
import type { Connection, LoggedEvent, Overview, Point } from "./feed_types.ts"

export interface OverviewState {
  readonly points: readonly Point[]
  readonly bounds: readonly number[]
  readonly now: Overview
}

export interface ConnectionsState {
  readonly connections: readonly Connection[]
  readonly total: number
  readonly most: number
}

export interface LogState {
  /** The newest first. */
  readonly events: readonly LoggedEvent[]
}

const MOST_POINTS = 360
const MOST_EVENTS = 500

export function overview(state: OverviewState | null, event: string, payload: unknown): OverviewState | null {
  if (event === "hour") {
    const { points, bounds_ms, now } = payload as { points: Point[]; bounds_ms: number[]; now: Overview }
    return { points, bounds: bounds_ms, now }
  }
  if (event !== "overview" || !state) return state
  const now = payload as Overview
  const last = state.points.at(-1)
  const isDue = !last || now.at - last.at >= 9.5
  return { ...state, now, points: isDue ? [...state.points, pointOf(now)].slice(-MOST_POINTS) : state.points }
}

export function connections(state: ConnectionsState | null, event: string, payload: unknown): ConnectionsState | null {
  if (event === "connections") return payload as ConnectionsState
  if (event !== "changes" || !state) return state
  const { changed, gone, total } = payload as { changed: Connection[]; gone: number[]; total: number }
  const after = new Map(state.connections.map((each) => [each.number, each]))
  for (const number of gone) after.delete(number)
  for (const each of changed) after.set(each.number, each)
  return { ...state, total, connections: [...after.values()].sort((one, other) => one.number - other.number) }
}

export function log(state: LogState | null, event: string, payload: unknown): LogState | null {
  const told = [...(payload as { events: LoggedEvent[] }).events].reverse()
  if (event === "log") return { events: told }
  if (event !== "events" || !state) return state
  const newest = state.events[0]?.number ?? 0
  return { events: [...told.filter(({ number }) => number > newest), ...state.events].slice(0, MOST_EVENTS) }
}

function pointOf(now: Overview): Point {
  const { at, connections, channels, changes_per_s, deliveries_per_s, memory_bytes, retained_bytes, latency } = now
  const { p50_ms, p99_ms } = latency
  return { at, connections, channels, changes_per_s, deliveries_per_s, p50_ms, p99_ms, memory_bytes, retained_bytes }
}
