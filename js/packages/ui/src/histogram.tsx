/** How often something took how long. What is drawn is also said in words. */
import type { ReactElement } from "react"

import { count } from "./format.ts"
import { type HistogramLayout, type HistogramMark, layoutOf, type Steps } from "./histogram_layout.ts"

export interface HistogramProps extends Steps {
  readonly title: string
  /** What was counted, and when: "transactions in the last ten seconds". */
  readonly counted: string
  readonly marks: readonly HistogramMark[]
  /** Steps up to here are shown in any case, so that the picture stands still while figures change. */
  readonly shownUpTo: number
  readonly format: (value: number) => string
}

const HEIGHT = 100
const GAP = 0.12
const LEFT_SIDE = 0.62 // a label that would reach over the edge stands on the other side of its line

export function Histogram({ title, counted, marks, shownUpTo, format, bounds, counts }: HistogramProps): ReactElement {
  const layout = layoutOf({ bounds, counts }, marks, shownUpTo)
  const summary = `${count(layout.total)} ${counted}`
  return (
    <figure className="tw-chart" aria-label={title}>
      <div className="tw-chart-head">
        <h3>{title}</h3>
        <span className="tw-tile-note">{summary}</span>
      </div>
      {layout.total === 0
        ? <div className="tw-chart-plot" data-empty="true" role="img" aria-label={`${title}: nothing yet.`} />
        : <Plot layout={layout} format={format} words={`${title}: ${summary}. ${wordsOf(layout, format)}`} />}
    </figure>
  )
}

interface PlotProps {
  readonly layout: HistogramLayout
  readonly format: (value: number) => string
  readonly words: string
}

function Plot({ layout: { steps, bars, marks, ticks }, format, words }: PlotProps): ReactElement {
  return (
    <div className="tw-histogram" role="img" aria-label={words}>
      <svg viewBox={`0 0 ${steps} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden>
        {bars.map(({ step, height }) => (
          <rect key={step} x={step + GAP / 2} width={1 - GAP} y={HEIGHT * (1 - height)} height={HEIGHT * height} />
        ))}
      </svg>
      {marks.map(({ label, at, place }, row) => (
        <span key={label} className="tw-histogram-mark" data-row={row} data-side={place > LEFT_SIDE ? "left" : "right"} style={{ left: percent(place) }}>
          <span><strong>{label}</strong> {format(at)}</span>
        </span>
      ))}
      {ticks.map(({ at, place }) => <span key={at} className="tw-histogram-tick" style={{ left: percent(place) }}>{format(at)}</span>)}
    </div>
  )
}

const percent = (share: number): string => `${(share * 100).toFixed(2)}%`

function wordsOf({ marks, most }: HistogramLayout, format: (value: number) => string): string {
  const said = marks.map(({ label, at }) => `${label}: ${format(at)}`)
  if (most) said.unshift(`Most between ${format(most[0])} and ${format(most[1])}`)
  return `${said.join(". ")}.`
}
