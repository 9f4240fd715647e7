/** What was logged, the newest first. */
import { Badge, type Column, DataTable, dateAndTime, EmptyState, PauseButton, timeOfDay, type Tone, usePausable } from "@tidewire/ui"
import { type ReactElement, useState } from "react"

import { FeedGate } from "../feed_gate.tsx"
import { useLog } from "../feeds.ts"
import type { LoggedEvent } from "../feed_types.ts"
import { PageHead } from "../page_head.tsx"

type Wanted = "all" | "bad"

const TONES: Readonly<Record<string, Tone>> = { warning: "warn", error: "bad", critical: "bad" }

const COLUMNS: readonly Column<LoggedEvent>[] = [
  { id: "at", header: "Time", cell: ({ at }) => <time title={dateAndTime(at)}>{timeOfDay(at)}</time> },
  { id: "level", header: "Level", cell: ({ level }) => <Badge tone={TONES[level] ?? "plain"}>{level}</Badge> },
  { id: "code", header: "Code", cell: ({ code }) => <span className="mono">{code}</span> },
  { id: "details", header: "Details", cell: ({ details }) => <EventDetails details={details} /> },
]

export default function LogPage(): ReactElement {
  const { shown, isPaused, toggle } = usePausable(useLog())
  const [wanted, setWanted] = useState<Wanted>("all")
  return (
    <div className="page">
      <PageHead title="Log" about="Operational events, never with rows or tokens in them.">
        <label className="filters">
          <span className="soft">Show</span>
          <select value={wanted} onChange={(event) => setWanted(event.target.value as Wanted)}>
            <option value="all">everything</option>
            <option value="bad">warnings and errors</option>
          </select>
        </label>
        <PauseButton isPaused={isPaused} toggle={toggle} />
      </PageHead>
      <FeedGate feed={shown} title="Waiting for the log">
        {({ events }) => (
          <DataTable
            caption="Logged events"
            columns={COLUMNS}
            rows={wanted === "all" ? events : events.filter(({ level }) => level in TONES)}
            keyOf={(row) => row.number}
            empty={<EmptyState title={wanted === "all" ? "Nothing was logged yet" : "No warnings and no errors"} />}
          />
        )}
      </FeedGate>
    </div>
  )
}

function EventDetails({ details }: Pick<LoggedEvent, "details">): ReactElement {
  const { reason, hint, ...others } = details
  const rest = Object.entries(others).map(([name, value]) => `${name}=${value}`)
  return (
    <>
      {reason !== undefined && <div>{reason}</div>}
      {hint !== undefined && <div><strong>What helps: </strong>{hint}</div>}
      {rest.length > 0 && <div className="mono soft">{rest.join(" ")}</div>}
    </>
  )
}
