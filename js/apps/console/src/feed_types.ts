/** What the feeds tell, as docs/reference/feeds.md has it. */

export interface Latency {
  readonly p50_ms: number | null
  readonly p95_ms: number | null
  readonly p99_ms: number | null
}

export interface Overview {
  readonly at: number
  readonly source: "streaming" | "starting" | "standby" | "reconnecting" | "lost"
  readonly live: boolean
  readonly connections: number
  readonly channels: number
  readonly topics: number
  readonly subscriptions: number
  readonly presences: number
  readonly changes_per_s: number
  readonly deliveries_per_s: number
  readonly broadcasts_per_s: number
  readonly latency: Latency
  readonly latencies: readonly number[]
  readonly last_commit_at: number
  readonly lag_bytes: number | null
  readonly retained_bytes: number | null
  readonly headroom_bytes: number | null
  readonly memory_bytes: number
  readonly errors: Readonly<Record<string, number>>
  readonly refused: Readonly<Record<string, number>>
}

export interface Point {
  readonly at: number
  readonly connections: number
  readonly channels: number
  readonly changes_per_s: number
  readonly deliveries_per_s: number
  readonly p50_ms: number | null
  readonly p99_ms: number | null
  readonly memory_bytes: number
  readonly retained_bytes: number | null
}

export interface Connection {
  readonly number: number
  readonly transport: "websocket" | "sse" | "longpoll"
  readonly since: number
  readonly role: string | null
  readonly user: string | null
  readonly channels: number
  readonly queue_bytes: number
  readonly rtt_ms: number | null
}

export interface ConnectionDetail {
  readonly connection: Connection
  readonly channels: readonly { topic: string; private: boolean; broadcasts: boolean; presence: boolean }[]
}

export interface LoggedEvent {
  readonly number: number
  readonly at: number
  readonly level: string
  readonly event: string
  readonly code: string
  readonly details: Readonly<Record<string, string | number>>
}
