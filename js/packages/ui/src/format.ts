/** Turns figures into what people read. Digits are those of English everywhere, as the rest of the page is. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 })
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 })
const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1 })
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" })
const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" })
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"]
const NOTHING = "–"

export interface Figure {
  readonly text: string
  readonly unit: string
}

export function count(value: number): string {
  return Math.abs(value) < 100_000 ? whole.format(value) : short.format(value)
}

export function rate(value: number): string {
  return value < 10 ? tenth.format(value) : count(value)
}

export function bytes(value: number | null): Figure {
  if (value === null) return { text: NOTHING, unit: "" }
  const step = value < 1024 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), UNITS.length - 1)
  const scaled = value / 1024 ** step
  return { text: scaled < 10 && step > 0 ? tenth.format(scaled) : whole.format(scaled), unit: UNITS[step] ?? "" }
}

export function milliseconds(value: number | null): Figure {
  if (value === null) return { text: NOTHING, unit: "" }
  if (value >= 1000) return { text: tenth.format(value / 1000), unit: "s" }
  return { text: value < 10 ? tenth.format(value) : whole.format(value), unit: "ms" }
}

export function joined({ text, unit }: Figure): string {
  return unit ? `${text} ${unit}` : text
}

/** How long something took or takes, given in seconds. */
export function age(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds))
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min`
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`
}

/** Times are Unix times, in seconds. */
export const timeOfDay = (at: number): string => clock.format(at * 1000)
export const dateAndTime = (at: number): string => moment.format(at * 1000)
