/** How long it took from commit to socket, of the last ten seconds. */
import { Histogram, type HistogramMark, joined, milliseconds, Panel } from "@tidewire/ui"
import type { ReactElement } from "react"

import type { OverviewState } from "../feed_states.ts"
import type { Latency } from "../feed_types.ts"
import { TOO_SLOW_MS } from "../thresholds.ts"

const ms = (value: number): string => joined(milliseconds(value))

export function LatencyPanel({ state: { bounds, now } }: { readonly state: OverviewState }): ReactElement {
  return (
    <Panel title="Latency">
      <Histogram
        title="From commit to socket"
        counted="transactions in the last ten seconds"
        bounds={bounds}
        counts={now.latencies}
        marks={marksOf(now.latency)}
        shownUpTo={TOO_SLOW_MS}
        format={ms}
      />
    </Panel>
  )
}

function marksOf({ p50_ms, p95_ms, p99_ms }: Latency): HistogramMark[] {
  const said = [["p50", p50_ms], ["p95", p95_ms], ["p99", p99_ms]] as const
  return said.flatMap(([label, at]) => (at === null ? [] : [{ label, at }]))
}
