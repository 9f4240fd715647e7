/** The row changes that one channel asks for, and where each stands: writes joins, reads their replies and changes. */
import type { RealtimeEvent, Gap } from "../types.ts"
import { isObject, type Payload } from "./codec.ts"
import { isRepeat } from "./position.ts"

export interface Binding {
  readonly event: string
  readonly schema: string
  readonly table: string
  readonly filter?: string
  readonly select?: readonly string[]
  readonly moves?: boolean
  readonly truncate?: boolean
}

/** A change, and the numbers of the bindings that it is for. */
export interface Told {
  readonly event: RealtimeEvent
  readonly bindings: readonly number[]
}

interface Place {
  id: number | null
  after: string | null
}

export class Bindings {
  readonly wishes: readonly Binding[]
  readonly #places: Place[]
  #hasBeenLive = false

  constructor(wishes: readonly Binding[], after: string | null = null) {
    this.wishes = wishes
    this.#places = wishes.map(() => ({ id: null, after }))
  }

  /** Go on from another position, such as that of a list that was loaded again. Join after that. */
  restart(after: string): void {
    for (const place of this.#places) place.after = after
  }

  /** What stands under `postgres_changes` in the next join. */
  asked(): readonly Payload[] {
    return this.wishes.map((wish, number) => {
      const after = this.#places[number]?.after ?? null
      return { ...wish, ...(after === null ? {} : { after }) }
    })
  }

  /** Take the reply to that join. Returns what was missed, if something was. */
  live(response: Payload): Gap | null {
    const position = typeof response["position"] === "string" ? response["position"] : null
    const echoed: readonly unknown[] = Array.isArray(response["postgres_changes"]) ? response["postgres_changes"] : []
    const wasHere = this.#hasBeenLive || this.#places.some((place) => place.after !== null)
    const isRecovered = response["recovered"] === true
    this.#hasBeenLive = true
    this.#places.forEach((place, number) => {
      const echo = echoed[number]
      place.id = isObject(echo) && typeof echo["id"] === "number" ? echo["id"] : null
      // A binding that goes on keeps its place until it is told of a change: the reply's may lie before it.
      if (!isRecovered || place.after === null) place.after = position
    })
    if (!wasHere || isRecovered) return null
    const reason = typeof response["reason"] === "string" ? response["reason"] : "the server keeps no past"
    return { reason, position }
  }

  /** Take note that everything up to a position has been told, though it may be long ago that anything was. */
  reached(position: string): void {
    for (const place of this.#places) place.after = position
  }

  /** Take a change, and remember it as told. Null for what is none, or is for nobody or has been told. */
  take(payload: Payload): Told | null {
    const { ids, data } = payload
    if (!Array.isArray(ids) || !isObject(data)) return null
    const event = readChange(data)
    const bindings: number[] = []
    this.#places.forEach((place, number) => {
      if (place.id === null || !ids.includes(place.id)) return
      if (event.position !== null) {
        if (isRepeat(event.position, place.after)) return
        place.after = event.position
      }
      bindings.push(number)
    })
    return bindings.length ? { event, bindings } : null
  }
}

function readChange(data: Payload): RealtimeEvent {
  const text = (name: string) => (typeof data[name] === "string" ? data[name] : null)
  const row = (name: string) => (isObject(data[name]) ? data[name] : {})
  return {
    eventType: data["type"] as RealtimeEvent["eventType"],
    new: row("record"),
    old: row("old_record"),
    schema: text("schema") ?? "",
    table: text("table") ?? "",
    commit_timestamp: text("commit_timestamp") ?? "",
    errors: Array.isArray(data["errors"]) ? (data["errors"] as string[]) : null,
    position: text("position"),
    moved: text("moved") as RealtimeEvent["moved"],
  }
}
