/** The types that applications name. Holds no code. */
import type { TidewireError } from "./errors.ts"
import type { Store } from "./store.ts"

export type Json = string | number | boolean | null | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [key: string]: Json | undefined
}
export type Row = Record<string, unknown>
export type TransportName = "websocket" | "sse" | "longpoll"

/** A change of a row, under the names that clients of Supabase know. */
export interface RealtimeEvent<T = Row> {
  eventType: "INSERT" | "UPDATE" | "DELETE" | "TRUNCATE"
  new: T | Record<string, never>
  old: Partial<T>
  schema: string
  table: string
  commit_timestamp: string
  errors: string[] | null
  /** Opaque: keep it, and send it back as `after`. */
  position: string | null
  moved: "in" | "out" | null
}

/** What was missed cannot be told: load again. Changes go on from `position`. */
export interface Gap {
  reason: string
  position: string | null
}

export interface TableOptions {
  event?: "*" | "INSERT" | "UPDATE" | "DELETE"
  schema?: string
  filter?: string
  select?: readonly string[]
  moves?: boolean
  truncate?: boolean
  /** Go on from a position. Such a subscription shares its channel with nobody. */
  after?: string
  onGap?: (gap: Gap) => void
  onReady?: () => void
  onError?: (error: TidewireError) => void
}

export interface TableSubscription<T = Row> extends TableOptions {
  table: string
  callback: (event: RealtimeEvent<T>) => void
}

export interface RealtimeSubscription {
  readonly channel: string
  /** Whether it is live, and if not, why. */
  readonly status: Store<ChannelStatus>
  unsubscribe(): void
}

export interface ChannelOptions {
  private?: boolean
  self?: boolean
  ack?: boolean
  presence?: boolean
  presenceKey?: string
  replay?: { since: number; limit?: number }
}

export interface ChannelStatus {
  readonly state: "joining" | "joined" | "waiting" | "refused" | "left"
  readonly reason: string | null
}

export interface BroadcastMessage {
  event: string
  /** JSON as it was sent, or a Uint8Array for raw bytes. */
  payload: unknown
  meta: JsonObject | null
}

export interface Presence {
  readonly presence_ref: string
  readonly [key: string]: unknown
}
export type PresenceState = ReadonlyMap<string, readonly Presence[]>

export interface PresenceHandlers {
  onSync?: (state: PresenceState) => void
  onJoin?: (key: string, presences: readonly Presence[]) => void
  onLeave?: (key: string, presences: readonly Presence[]) => void
}

export type StatusReason =
  | "idle" | "closed" | "offline" | "unreachable" | "silent" | "lost" | "refused" | "token" | "joining"

/** How it stands, as one value. */
export interface ConnectionStatus {
  readonly state: "connected" | "partial" | "connecting" | "disconnected"
  readonly reason: StatusReason | null
  readonly detail: string | null
  readonly since: number
  readonly attempt: number
  readonly nextRetryAt: number | null
  readonly transport: TransportName | null
  readonly rttMs: number | null
  readonly channels: { readonly joined: number; readonly wanted: number }
  readonly refused: readonly { readonly topic: string; readonly reason: string }[]
}
