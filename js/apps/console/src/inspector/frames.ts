/** What was heard, the newest first and not too much of it. Pure: the time is given. */
import type { BroadcastMessage, RealtimeEvent } from "@tidewire/client"

export type FrameKind = "change" | "broadcast" | "presence" | "channel"

export interface Frame {
  readonly number: number
  readonly kind: FrameKind
  /** The event of a change or a broadcast, or what became of a channel. */
  readonly event: string
  /** The table or the topic. */
  readonly of: string
  /** Unix time in milliseconds. */
  readonly at: number
  /** From the commit, by the database's clock, to here, by this device's. */
  readonly delayMs: number | null
  /** That of `json`. */
  readonly bytes: number
  /** What was told, as the client library hands it on. */
  readonly json: string
}

export type Heard = Omit<Frame, "number">

export interface Frames {
  readonly shown: readonly Frame[]
  /** All that were heard since they were cleared. */
  readonly total: number
  readonly bytes: number
}

export const NO_FRAMES: Frames = { shown: [], total: 0, bytes: 0 }
export const MOST_FRAMES = 500
/** Rows may be large: 500 of the largest are more than a tab should hold. */
export const MOST_BYTES = 8 * 1024 ** 2

/** Add what was heard, in its order. */
export function add({ shown, total, bytes }: Frames, heard: readonly Heard[]): Frames {
  const news = heard.map((one, index) => ({ ...one, number: total + index + 1 })).reverse()
  const all = [...news, ...shown]
  let size = bytes + heard.reduce((sum, one) => sum + one.bytes, 0)
  while (all.length > MOST_FRAMES || (size > MOST_BYTES && all.length > 1)) size -= all.pop()?.bytes ?? 0
  return { shown: all, total: total + heard.length, bytes: size }
}

export function ofChange(event: RealtimeEvent, at: number): Heard {
  const committedAt = Date.parse(event.commit_timestamp)
  const delayMs = Number.isNaN(committedAt) ? null : at - committedAt
  const named = event.moved === null ? event.eventType : `${event.eventType}, moved ${event.moved}`
  return heard("change", named, `${event.schema}.${event.table}`, at, event, delayMs)
}

export function ofBroadcast({ event, payload, meta }: BroadcastMessage, topic: string, at: number): Heard {
  const said = payload instanceof Uint8Array ? `${payload.byteLength} bytes` : payload
  return heard("broadcast", event, topic, at, { event, payload: said, ...(meta ? { meta } : {}) })
}

export function ofPresence(event: "join" | "leave", key: string, presences: unknown, topic: string, at: number): Heard {
  return heard("presence", event, topic, at, { key, presences })
}

export function ofChannel(event: string, of: string, reason: string | null, at: number): Heard {
  return heard("channel", event, of, at, { [event]: of, ...(reason === null ? {} : { reason }) })
}

function heard(kind: FrameKind, event: string, of: string, at: number, told: unknown, delayMs: number | null = null): Heard {
  const json = JSON.stringify(told)
  return { kind, event, of, at, delayMs, bytes: new TextEncoder().encode(json).length, json }
}
