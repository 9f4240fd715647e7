/** One figure. Where it is not as it should be, it says why and what helps. */
import type { ReactElement, ReactNode } from "react"

import { Badge, type Tone } from "./basics.tsx"

export interface StatTileProps {
  readonly label: string
  readonly value: string
  readonly unit?: string
  readonly note?: string
  readonly tone?: Tone
  /** With a tone of warn or bad: what is wrong, and what to do. */
  readonly reason?: string
  readonly remedy?: string
  /** A sparkline, mostly. */
  readonly children?: ReactNode
}

const WORDS: Partial<Record<Tone, string>> = { warn: "Watch", bad: "Act" }

export function StatTile(tile: StatTileProps): ReactElement {
  const { label, value, unit = "", note, tone = "plain", reason, remedy, children } = tile
  const word = WORDS[tone]
  return (
    <article className="tw-tile" data-tone={tone} aria-label={label}>
      <div className="tw-tile-label">
        <span>{label}</span>
        {word !== undefined && <Badge tone={tone}>{word}</Badge>}
      </div>
      <div className="tw-tile-value">
        {value}
        {unit !== "" && <small>{unit}</small>}
      </div>
      {note !== undefined && <div className="tw-tile-note">{note}</div>}
      {reason !== undefined && (
        <div className="tw-tile-why">
          <span>{reason}</span>
          {remedy !== undefined && <span><strong>What helps: </strong>{remedy}</span>}
        </div>
      )}
      {children}
    </article>
  )
}
