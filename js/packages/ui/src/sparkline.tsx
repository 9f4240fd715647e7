/** The course of a figure as a small line. */
import type { ReactElement } from "react"

export interface SparklineProps {
  /** Evenly spaced; null where nothing is known. */
  readonly values: readonly (number | null)[]
  /** What it shows, for who cannot see it. */
  readonly label: string
}

const WIDTH = 100
const HEIGHT = 30

export function Sparkline({ values, label }: SparklineProps): ReactElement {
  const line = pathOf(values)
  return (
    <svg className="tw-sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
      {line.area !== "" && <path className="tw-area" d={line.area} />}
      <path d={line.stroke} />
    </svg>
  )
}

/** Exported for its test. */
export function pathOf(values: readonly (number | null)[]): { stroke: string; area: string } {
  const top = Math.max(...values.map((value) => value ?? 0), Number.MIN_VALUE)
  const step = WIDTH / Math.max(values.length - 1, 1)
  const runs: string[][] = [[]]
  values.forEach((value, index) => {
    if (value === null) runs.push([])
    else runs.at(-1)?.push(`${(index * step).toFixed(1)} ${(HEIGHT - (value / top) * HEIGHT).toFixed(1)}`)
  })
  const filled = runs.filter((run) => run.length > 1)
  return {
    stroke: filled.map((run) => `M${run.join("L")}`).join(""),
    area: filled.map((run) => `M${xOf(run[0])} ${HEIGHT}L${run.join("L")}L${xOf(run.at(-1))} ${HEIGHT}Z`).join(""),
  }
}

const xOf = (point: string | undefined): string => point?.split(" ")[0] ?? "0"
