/** Figures over time, drawn by uPlot. What is drawn is also said in words, because a canvas says nothing. */
import { type ReactElement, useEffect, useRef } from "react"
import uPlot from "uplot"
import "uplot/dist/uPlot.min.css"

import { useTheme } from "./theme.ts"

export interface ChartSeries {
  readonly label: string
  readonly values: readonly (number | null)[]
  readonly tone?: "accent" | "warn" | "muted"
}

export interface TimeChartProps {
  readonly title: string
  /** Unix times in seconds, rising. */
  readonly times: readonly number[]
  readonly series: readonly ChartSeries[]
  readonly format: (value: number) => string
}

const HEIGHT = 180
const COLOURS = { accent: "--accent", warn: "--amber", muted: "--line-strong" } as const
const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

export function TimeChart({ title, times, series, format }: TimeChartProps): ReactElement {
  const frame = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const formatted = useRef(format)
  const { shown } = useTheme()
  const shape = JSON.stringify(series.map(({ label, tone = "accent" }) => ({ label, tone })))
  useEffect(() => {
    formatted.current = format
  }, [format])
  useEffect(() => {
    const element = frame.current
    if (!element) return
    const made = new uPlot(optionsOf(JSON.parse(shape) as Shape[], element.clientWidth, formatted), [[]], element)
    plot.current = made
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }))
    observer.observe(element)
    return () => {
      observer.disconnect()
      made.destroy()
      plot.current = null
    }
  }, [shape])
  useEffect(() => plot.current?.setData([[...times], ...series.map(({ values }) => [...values])]), [times, series, shape])
  useEffect(() => plot.current?.redraw(false), [shown]) // colours are asked for while it is drawn
  return (
    <figure className="tw-chart" aria-label={title}>
      <div className="tw-chart-head">
        <h3>{title}</h3>
        <ul className="tw-chart-keys">
          {series.map(({ label, tone = "accent" }) => <li key={label} data-tone={tone}>{label}</li>)}
        </ul>
      </div>
      <div ref={frame} className="tw-chart-plot" data-empty={times.length === 0} role="img" aria-label={wordsOf(title, series, format)} />
    </figure>
  )
}

interface Shape {
  readonly label: string
  readonly tone: keyof typeof COLOURS
}

function optionsOf(series: readonly Shape[], width: number, format: { readonly current: (value: number) => string }): uPlot.Options {
  const axis: uPlot.Axis = {
    stroke: () => colour("--muted"),
    grid: { stroke: () => colour("--line"), width: 1 },
    ticks: { show: false },
    font: "12px 'Inter Variable', system-ui, sans-serif",
  }
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 12, 0, 0],
    scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, space: 70, values: (_, splits) => splits.map(hourAndMinute) },
      { ...axis, size: 64, values: (_, splits) => splits.map((split) => format.current(split)) },
    ],
    series: [
      {},
      ...series.map(({ label, tone }, index) => ({
        label,
        width: 1.75,
        points: { show: false },
        stroke: () => colour(COLOURS[tone]),
        ...(index === 0 && tone === "accent" ? { fill: () => `${colour("--accent")}1f` } : {}),
      })),
    ],
  }
}

function hourAndMinute(at: number): string {
  const date = new Date(at * 1000)
  return `${String(date.getHours()).padStart(2, "0")}:${String(date.getMinutes()).padStart(2, "0")}`
}

function wordsOf(title: string, series: readonly ChartSeries[], format: (value: number) => string): string {
  const said = series.map(({ label, values }) => {
    const known = values.filter((value) => value !== null)
    if (known.length === 0) return `${label}: nothing yet`
    return `${label}: ${format(known.at(-1) ?? 0)} now, between ${format(Math.min(...known))} and ${format(Math.max(...known))}`
  })
  return `${title}. ${said.join(". ")}.`
}
