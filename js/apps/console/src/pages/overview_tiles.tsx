/** The figures of this moment, each with how it came there. */
import { bytes, count, milliseconds, rate, Sparkline, StatTile } from "@tidewire/ui"
import { type ReactElement, useState } from "react"

import type { OverviewState } from "../feed_states.ts"
import type { Point } from "../feed_types.ts"
import { judgeErrors, judgeHeadroom, judgeLag, judgeLatency, judgeSource } from "../thresholds.ts"

const RECENT = 60 // ten minutes

export function OverviewTiles({ state: { now, points } }: { readonly state: OverviewState }): ReactElement {
  const errors = Object.values(now.errors).reduce((sum, number) => sum + number, 0)
  const [before] = useState(errors)
  const recent = points.slice(-RECENT)
  const line = (name: string, of: (point: Point) => number | null) => (
    <Sparkline label={`${name} in the last ten minutes`} values={recent.map(of)} />
  )
  const { p50_ms, p95_ms, p99_ms } = now.latency
  const p99 = milliseconds(p99_ms)
  const [lag, headroom, memory] = [bytes(now.lag_bytes), bytes(now.headroom_bytes), bytes(now.memory_bytes)]
  return (
    <div className="tiles">
      <StatTile label="Database" value={now.source === "streaming" && now.live ? "Followed" : now.source} {...judgeSource(now)} />
      <StatTile label="Commit to socket, p99" value={p99.text} unit={p99.unit} note={`p50 ${said(p50_ms)} · p95 ${said(p95_ms)}`} {...judgeLatency(now)}>
        {line("p99", (point) => point.p99_ms)}
      </StatTile>
      <StatTile label="Connections" value={count(now.connections)} note={`${count(now.channels)} channels`}>
        {line("Connections", (point) => point.connections)}
      </StatTile>
      <StatTile label="Changes" value={rate(now.changes_per_s)} unit="per s">
        {line("Changes", (point) => point.changes_per_s)}
      </StatTile>
      <StatTile label="Deliveries" value={rate(now.deliveries_per_s)} unit="per s">
        {line("Deliveries", (point) => point.deliveries_per_s)}
      </StatTile>
      <StatTile label="Behind the log" value={lag.text} unit={lag.unit} note="written, not yet handed out" {...judgeLag(now)} />
      <StatTile
        label="Retention headroom"
        value={now.headroom_bytes === null ? "No limit" : headroom.text}
        unit={headroom.unit}
        note={`${said(now.retained_bytes, bytes)} kept for who comes back`}
        {...judgeHeadroom(now)}
      />
      <StatTile label="Memory" value={memory.text} unit={memory.unit}>
        {line("Memory", (point) => point.memory_bytes)}
      </StatTile>
      <StatTile label="Warnings and errors" value={count(errors)} note="since the server started" {...judgeErrors(errors - before)} />
    </div>
  )
}

function said(value: number | null, format = milliseconds): string {
  const { text, unit } = format(value)
  return unit ? `${text} ${unit}` : text
}
