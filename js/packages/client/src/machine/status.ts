/** Sums up a connection and its channels in one value. */
import type { ConnectionStatus } from "../types.ts"
import type { ChannelMachine } from "./channel.ts"
import type { ConnectionMachine } from "./connection.ts"

export type Channels = ReadonlyMap<string, Pick<ChannelMachine, "state" | "reason" | "isLingering">>

type Summary = Pick<ConnectionStatus, "state" | "reason" | "detail">

export const INITIAL: ConnectionStatus = {
  state: "disconnected",
  reason: "idle",
  detail: null,
  since: 0,
  attempt: 0,
  nextRetryAt: null,
  transport: null,
  rttMs: null,
  channels: { joined: 0, wanted: 0 },
  refused: [],
}

/** Return how it stands; the status before, if nothing has changed. */
export function sumUp(before: ConnectionStatus, connection: ConnectionMachine, channels: Channels, now: number): ConnectionStatus {
  const wanted = [...channels].filter(([, channel]) => channel.state !== "left" && !channel.isLingering)
  const joined = wanted.filter(([, channel]) => channel.state === "joined").length
  const refused = wanted
    .filter(([, channel]) => channel.state === "refused")
    .map(([topic, channel]) => ({ topic, reason: channel.reason ?? "" }))
  const summary = describe(connection, wanted.map(([, channel]) => channel), joined)
  const after: ConnectionStatus = {
    ...summary,
    since: summary.state === before.state && before.since ? before.since : now,
    attempt: connection.attempt,
    nextRetryAt: connection.retryAt,
    transport: connection.isUp || connection.state === "opening" ? connection.transport : null,
    rttMs: connection.rttMs,
    channels: { joined, wanted: wanted.length },
    refused,
  }
  return JSON.stringify(after) === JSON.stringify(before) ? before : after
}

function describe(
  connection: ConnectionMachine,
  wanted: readonly Pick<ChannelMachine, "state" | "reason">[],
  joined: number,
): Summary {
  const { state, reason, detail } = connection
  if (state === "opening") return { state: "connecting", reason, detail }
  if (!connection.isUp) return { state: "disconnected", reason, detail }
  if (joined === wanted.length && state === "live") return { state: "connected", reason: null, detail: null }
  // Where nothing can be joined any more, something is wrong in part: the connection itself is there.
  const isUnderWay = joined === 0 && wanted.some((channel) => channel.state !== "refused")
  return { state: isUnderWay || state !== "live" ? "connecting" : "partial", ...explain(wanted) }
}

/** Say what keeps a channel from being joined: a refusal before everything that passes. */
function explain(wanted: readonly Pick<ChannelMachine, "state" | "reason">[]): Pick<Summary, "reason" | "detail"> {
  const refused = wanted.find((channel) => channel.state === "refused")
  const late = refused ?? wanted.find((channel) => channel.state !== "joined")
  const reason = refused ? "refused" : late?.state === "asking" ? "token" : "joining"
  return { reason, detail: late?.reason ?? null }
}
