/** Where the parts of a histogram stand: bars in steps that grow by a factor, marks and ticks between them. Pure. */

export interface HistogramMark {
  readonly label: string
  readonly at: number
}

export interface Steps {
  /** What each step reaches up to, rising. */
  readonly bounds: readonly number[]
  /** How many there were in each step. */
  readonly counts: readonly number[]
}

export interface Placed {
  /** From the left, as a share of the whole width. */
  readonly place: number
}

export interface HistogramLayout {
  readonly total: number
  /** How many steps are shown: up to the wanted one, and further where there is something. */
  readonly steps: number
  /** Of the steps in which there is something; `height` is a share of the highest. */
  readonly bars: readonly { readonly step: number; readonly height: number }[]
  readonly marks: readonly (HistogramMark & Placed)[]
  /** Powers of ten. */
  readonly ticks: readonly (Placed & { readonly at: number })[]
  /** Between which values most of them are: the fewest steps around the highest that hold three quarters. */
  readonly most: readonly [number, number] | null
}

const LEAST_HEIGHT = 0.02 // a single one beside thousands is seen all the same
const MOST_SHARE = 0.75

export function layoutOf({ bounds, counts }: Steps, marks: readonly HistogramMark[], shownUpTo: number): HistogramLayout {
  const total = counts.reduce((sum, count) => sum + count, 0)
  const highest = Math.max(...counts, 1)
  const wanted = bounds.findIndex((bound) => bound >= shownUpTo)
  const bars = counts.flatMap((count, step) => (count > 0 ? [{ step, height: Math.max(count / highest, LEAST_HEIGHT) }] : []))
  const steps = Math.max(wanted < 0 ? bounds.length - 1 : wanted, bars.at(-1)?.step ?? 0) + 1
  const shown = bounds.slice(0, steps)
  return {
    total,
    steps,
    bars,
    marks: marks.map((mark) => ({ ...mark, place: placeOf(mark.at, shown) })),
    ticks: powersOfTen(shown).map((at) => ({ at, place: placeOf(at, shown) })),
    most: total > 0 ? mostOf({ bounds, counts }, total) : null,
  }
}

/** A step ends at its bound, and within it places grow with the logarithm, as the steps themselves do. */
function placeOf(value: number, bounds: readonly number[]): number {
  const step = bounds.findIndex((bound) => bound >= value)
  if (step < 0) return 1
  const [from, to] = [bounds[step - 1], bounds[step] ?? value]
  const within = from === undefined ? 1 : Math.log(value / from) / Math.log(to / from)
  return (step + within) / bounds.length
}

function powersOfTen(bounds: readonly number[]): number[] {
  const [least, most] = [bounds[0] ?? 1, bounds.at(-1) ?? 1]
  const [first, last] = [Math.ceil(Math.log10(least) - 1e-9), Math.floor(Math.log10(most) + 1e-9)]
  return Array.from({ length: Math.max(last - first + 1, 0) }, (_, index) => 10 ** (first + index))
}

function mostOf({ bounds, counts }: Steps, total: number): [number, number] {
  let from = counts.indexOf(Math.max(...counts))
  let to = from
  let held = counts[from] ?? 0
  while (held < total * MOST_SHARE) {
    const [before, after] = [counts[from - 1] ?? -1, counts[to + 1] ?? -1]
    if (before >= after) from -= 1
    else to += 1
    held += Math.max(before, after)
  }
  return [bounds[from - 1] ?? 0, bounds[to] ?? 0]
}
