import { describe, expect, it } from "vitest"

import { connections, log, overview } from "../src/feed_states.ts"
import type { Connection, LoggedEvent, Overview } from "../src/feed_types.ts"
import { judgeErrors, judgeHeadroom, judgeLag, judgeLatency, judgeSource } from "../src/thresholds.ts"

const NOW: Overview = {
  at: 1000, source: "streaming", live: true, connections: 1, channels: 1, topics: 1, subscriptions: 1, presences: 0,
  changes_per_s: 0, deliveries_per_s: 0, broadcasts_per_s: 0, latency: { p50_ms: null, p95_ms: null, p99_ms: null },
  latencies: [], last_commit_at: 0, lag_bytes: null, retained_bytes: null, headroom_bytes: null, memory_bytes: 1,
  errors: {}, refused: {},
}
const MIB = 1024 ** 2

describe("the overview", () => {
  const begun = overview(null, "hour", { every_s: 10, points: [], bounds_ms: [1], now: NOW })

  it("adds a point for each ten seconds, and forgets those before the hour", () => {
    let state = begun
    for (let second = 0; second < 4000; second += 1) state = overview(state, "overview", { ...NOW, at: 1000 + second })
    expect(state?.points).toHaveLength(360)
    expect(state?.points.at(-1)?.at).toBe(4990)
    expect(state?.now.at).toBe(4999)
  })

  it("waits for its beginning", () => expect(overview(null, "overview", NOW)).toBeNull())
})

describe("connections", () => {
  const one = (number: number, user = "ada"): Connection => ({ number, user, role: "anon", transport: "sse", since: 0, channels: 0, queue_bytes: 0, rtt_ms: null })

  it("come, change and go, in the order of their numbers", () => {
    const begun = connections(null, "connections", { connections: [one(1), one(3)], total: 2, most: 200 })
    const after = connections(begun, "changes", { changed: [one(2), one(3, "bo")], gone: [1], total: 2 })
    expect(after?.connections.map(({ number, user }) => [number, user])).toEqual([[2, "ada"], [3, "bo"]])
  })
})

describe("the log", () => {
  const event = (number: number): LoggedEvent => ({ number, at: 0, level: "info", event: "e", code: "e", details: {} })

  it("has the newest first, each once, and 500 at most", () => {
    let state = log(null, "log", { events: [event(1), event(2)] })
    state = log(state, "events", { events: [event(2), event(3)] })
    expect(state?.events.map(({ number }) => number)).toEqual([3, 2, 1])
    for (let number = 4; number < 600; number += 1) state = log(state, "events", { events: [event(number)] })
    expect([state?.events.length, state?.events[0]?.number]).toEqual([500, 599])
  })
})

describe("thresholds", () => {
  const latency = (p99_ms: number | null) => judgeLatency({ ...NOW, latency: { ...NOW.latency, p99_ms } }).tone
  const headroom = (headroom_bytes: number | null, retained_bytes = 0) => judgeHeadroom({ ...NOW, headroom_bytes, retained_bytes }).tone

  it("are those of the promise", () => {
    expect([null, 100, 101, 500, 501].map(latency)).toEqual(["plain", "plain", "warn", "warn", "bad"])
    expect([null, 16 * MIB, 17 * MIB, 129 * MIB].map((lag_bytes) => judgeLag({ ...NOW, lag_bytes }).tone)).toEqual(["plain", "plain", "warn", "bad"])
    expect([headroom(null), headroom(10, 10), headroom(4, 6), headroom(1, 9)]).toEqual(["plain", "plain", "warn", "bad"])
    expect([judgeErrors(0).tone, judgeErrors(1).tone]).toEqual(["plain", "warn"])
  })

  it("come with a reason and a remedy", () => {
    for (const source of ["starting", "reconnecting", "lost"] as const) {
      const { tone, reason, remedy } = judgeSource({ ...NOW, source })
      expect([tone === "plain", reason, remedy]).toEqual([false, expect.any(String), expect.any(String)])
    }
    expect(judgeSource({ ...NOW, live: false }).tone).toBe("warn")
    expect(judgeSource(NOW).tone).toBe("good")
  })
})
