/** The last hour in charts. */
import { bytes, joined, milliseconds, Panel, rate } from "@tidewire/ui"
import { type ChartSeries, TimeChart } from "@tidewire/ui/time-chart"
import { type ReactElement, useMemo } from "react"

import type { Point } from "../feed_types.ts"

const ms = (value: number): string => joined(milliseconds(value))
const size = (value: number): string => joined(bytes(value))

export function HourCharts({ points }: { readonly points: readonly Point[] }): ReactElement {
  const { times, latency, flow, people, memory } = useMemo(() => seriesOf(points), [points])
  return (
    <Panel title="The last hour">
      <div className="columns">
        <TimeChart title="Commit to socket" times={times} series={latency} format={ms} />
        <TimeChart title="Per second" times={times} series={flow} format={rate} />
        <TimeChart title="Connections and channels" times={times} series={people} format={rate} />
        <TimeChart title="Memory, and log kept" times={times} series={memory} format={size} />
      </div>
    </Panel>
  )
}

function seriesOf(points: readonly Point[]): Record<"latency" | "flow" | "people" | "memory", ChartSeries[]> & { times: number[] } {
  const of = (name: Exclude<keyof Point, "at">) => points.map((point) => point[name])
  return {
    times: points.map(({ at }) => at),
    latency: [{ label: "p50", values: of("p50_ms") }, { label: "p99", values: of("p99_ms"), tone: "warn" }],
    flow: [{ label: "Deliveries", values: of("deliveries_per_s") }, { label: "Changes", values: of("changes_per_s"), tone: "warn" }],
    people: [{ label: "Channels", values: of("channels") }, { label: "Connections", values: of("connections"), tone: "warn" }],
    memory: [{ label: "Memory", values: of("memory_bytes") }, { label: "Log kept", values: of("retained_bytes"), tone: "warn" }],
  }
}
