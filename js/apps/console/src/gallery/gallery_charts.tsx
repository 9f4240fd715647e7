/** Charts with data, with a gap in it, and without any. */
import { Histogram, Panel } from "@tidewire/ui"
import { TimeChart } from "@tidewire/ui/time-chart"
import type { ReactElement } from "react"

import { BOUNDS, GAPS, HILL, MARKS, PEAKS, TIMES, WAVE } from "./samples.ts"

const ms = (value: number): string => `${value.toFixed(0)} ms`

const CALM = [{ label: "p50", values: WAVE }, { label: "p99", values: PEAKS, tone: "warn" as const }]
const WITH_GAP = [{ label: "p50", values: GAPS }]
const NONE = [{ label: "p50", values: [] }]

export function GalleryCharts(): ReactElement {
  return (
    <Panel title="Charts">
      <div className="columns">
        <TimeChart title="Commit to socket" times={TIMES} series={CALM} format={ms} />
        <TimeChart title="With a gap" times={TIMES} series={WITH_GAP} format={ms} />
        <TimeChart title="Nothing yet" times={[]} series={NONE} format={ms} />
        <Histogram title="How often" counted="deliveries" bounds={BOUNDS} counts={HILL} marks={MARKS} shownUpTo={500} format={ms} />
        <Histogram title="Not once" counted="deliveries" bounds={BOUNDS} counts={[]} marks={[]} shownUpTo={500} format={ms} />
      </div>
    </Panel>
  )
}
