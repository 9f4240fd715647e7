/** What was logged, the newest first. */
import { Badge, Button, type Column, DataTable, dateAndTime, EmptyState, PauseButton, timeOfDay, type Tone, usePausable } from "@tidewire/ui"
import { type ReactElement, useMemo, useState } from "react"

import { FeedGate } from "../feed_gate.tsx"
import { useLog } from "../feeds.ts"
import type { LoggedEvent } from "../feed_types.ts"
import { wordsOf } from "../log_words.ts"
import { PageHead } from "../page_head.tsx"
import { EventDialog } from "./event_dialog.tsx"

type Wanted = "all" | "bad"

const TONES: Readonly<Record<string, Tone>> = { warning: "warn", error: "bad", critical: "bad" }

export default function LogPage(): ReactElement {
  const { shown, isPaused, toggle } = usePausable(useLog())
  const [wanted, setWanted] = useState<Wanted>("all")
  const [open, setOpen] = useState<LoggedEvent | null>(null)
  const columns = useMemo(() => columnsOf(setOpen), [])
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
            columns={columns}
            rows={wanted === "all" ? events : events.filter(({ level }) => level in TONES)}
            keyOf={(row) => row.number}
            empty={<EmptyState title={wanted === "all" ? "Nothing was logged yet" : "No warnings and no errors"} />}
          />
        )}
      </FeedGate>
      {open && <EventDialog event={open} onClose={() => setOpen(null)} />}
    </div>
  )
}

function columnsOf(open: (event: LoggedEvent) => void): Column<LoggedEvent>[] {
  return [
    { id: "at", header: "Time", cell: ({ at }) => <time title={dateAndTime(at)}>{timeOfDay(at)}</time> },
    { id: "level", header: "Level", cell: ({ level }) => <Badge tone={TONES[level] ?? "plain"}>{level}</Badge> },
    { id: "code", header: "Code", cell: (event) => <Code event={event} open={open} /> },
    { id: "details", header: "Details", cell: ({ details }) => <EventDetails details={details} /> },
  ]
}

/** It leads to what it means, where that is known. */
function Code({ event, open }: { readonly event: LoggedEvent; readonly open: (event: LoggedEvent) => void }): ReactElement {
  const code = <span className="mono">{event.code}</span>
  if (wordsOf(event).length === 0) return code
  return <Button kind="link" title="What it means, and what to do" onClick={() => open(event)}>{code}</Button>
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
