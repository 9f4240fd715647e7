/** Says which figures of an overview are not as they should be, why that matters, and what helps. Pure. */
import { bytes, joined, milliseconds, type Tone } from "@tidewire/ui"

import type { Overview } from "./feed_types.ts"

export interface Judgement {
  readonly tone: Tone
  readonly reason?: string
  readonly remedy?: string
}

const FINE: Judgement = { tone: "plain" }
const MIB = 1024 ** 2
export const SLOW_MS = 100
export const TOO_SLOW_MS = 500
export const LAG_BYTES = 16 * MIB
export const TOO_MUCH_LAG_BYTES = 128 * MIB

const SOURCES: Readonly<Record<Overview["source"], Judgement>> = {
  streaming: { tone: "good" },
  standby: { tone: "plain", reason: "Another node follows the database; this one would take over." },
  starting: { tone: "warn", reason: "The database is not followed yet.", remedy: "If it stays so, the log has the reason." },
  reconnecting: {
    tone: "bad",
    reason: "The database is not reached. Changes arrive once it is, and none is lost.",
    remedy: "See whether Postgres runs and the log for what it answers.",
  },
  lost: {
    tone: "bad",
    reason: "The replication slot is gone, and with it what nobody has been told yet.",
    remedy: "Run tidewire doctor. Clients load their lists again by themselves.",
  },
}

export function judgeSource({ source, live }: Overview): Judgement {
  if (source === "streaming" && !live) {
    return { tone: "warn", reason: "Changes are followed, but not all are delivered yet.", remedy: "Wait: rules are being read." }
  }
  return SOURCES[source]
}

export function judgeLatency({ latency: { p99_ms } }: Overview): Judgement {
  if (p99_ms === null || p99_ms <= SLOW_MS) return FINE
  return {
    tone: p99_ms > TOO_SLOW_MS ? "bad" : "warn",
    reason: `One in a hundred transactions took ${joined(milliseconds(p99_ms))} or more from commit to socket.`,
    remedy: "Look for large transactions, and for policies that Postgres has to judge row by row.",
  }
}

export function judgeLag({ lag_bytes }: Overview): Judgement {
  if (lag_bytes === null || lag_bytes <= LAG_BYTES) return FINE
  return {
    tone: lag_bytes > TOO_MUCH_LAG_BYTES ? "bad" : "warn",
    reason: `${joined(bytes(lag_bytes))} of the log are written and not yet handed out.`,
    remedy: "Split bulk writes, or give the server more of the machine.",
  }
}

/** Less than half of what the slot may keep is left: warn; less than a fifth: act. */
export function judgeHeadroom({ headroom_bytes, retained_bytes }: Overview): Judgement {
  if (headroom_bytes === null) return FINE
  const share = headroom_bytes / Math.max(headroom_bytes + (retained_bytes ?? 0), 1)
  if (share >= 0.5) return FINE
  return {
    tone: share < 0.2 ? "bad" : "warn",
    reason: `${joined(bytes(headroom_bytes))} more of log, and Postgres gives up the slot.`,
    remedy: "Raise max_slot_wal_keep_size, or have the server keep less of the past.",
  }
}

export function judgeErrors(recent: number): Judgement {
  if (recent === 0) return FINE
  return { tone: "warn", reason: `${recent} since this page was opened.`, remedy: "The log has each with its reason." }
}
