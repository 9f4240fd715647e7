/** Who is in a topic, from states and diffs (W30, W51). A Map, because keys are what users choose, `__proto__` too. */
import type { Presence, PresenceState } from "../types.ts"
import { isObject, type Payload } from "./codec.ts"

export interface Arrivals {
  readonly state: PresenceState
  readonly joins: PresenceState
  readonly leaves: PresenceState
}

/** Compare a whole state with what was known before. */
export function readState(before: PresenceState, payload: Payload): Arrivals {
  const state = readPeople(payload)
  return { state, joins: subtract(state, before), leaves: subtract(before, state) }
}

/** Apply what changed to what is known. */
export function readDiff(before: PresenceState, payload: Payload): Arrivals {
  const joins = readPeople(payload["joins"])
  const leaves = readPeople(payload["leaves"])
  const state = new Map(before)
  for (const [key, metas] of joins) state.set(key, [...without(state.get(key) ?? [], metas), ...metas])
  for (const [key, metas] of leaves) {
    const rest = without(state.get(key) ?? [], metas)
    if (rest.length) state.set(key, rest)
    else state.delete(key)
  }
  return { state, joins, leaves }
}

function readPeople(payload: unknown): Map<string, readonly Presence[]> {
  const people = new Map<string, readonly Presence[]>()
  for (const [key, entry] of Object.entries(isObject(payload) ? payload : {})) {
    const metas: readonly unknown[] = isObject(entry) && Array.isArray(entry["metas"]) ? entry["metas"] : []
    people.set(key, metas.filter(isObject).map(readMeta))
  }
  return people
}

function readMeta(meta: Payload): Presence {
  const ours = new Set(["phx_ref", "phx_ref_prev"])
  const told = Object.entries(meta).filter(([name]) => !ours.has(name))
  return { ...Object.fromEntries(told), presence_ref: typeof meta["phx_ref"] === "string" ? meta["phx_ref"] : "" }
}

function subtract(from: PresenceState, what: PresenceState): PresenceState {
  const rest = new Map<string, readonly Presence[]>()
  for (const [key, metas] of from) {
    const left = without(metas, what.get(key) ?? [])
    if (left.length) rest.set(key, left)
  }
  return rest
}

function without(metas: readonly Presence[], gone: readonly Presence[]): readonly Presence[] {
  const refs = new Set(gone.map((meta) => meta.presence_ref))
  return metas.filter((meta) => !refs.has(meta.presence_ref))
}
