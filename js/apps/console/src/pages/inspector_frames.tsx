/** What was heard, as it arrives: it can be held still, cleared, and looked into. */
import { Badge, bytes, Button, type Column, count, DataTable, dateAndTime, Details, Dialog, EmptyState, joined, milliseconds, PauseButton, timeOfDay, type Tone, usePausable } from "@tidewire/ui"
import { type ReactElement, useMemo, useState } from "react"

import { type Frame, type FrameKind, MOST_FRAMES } from "../inspector/frames.ts"
import type { ListenerState } from "../inspector/listener.ts"

const TONES: Readonly<Record<FrameKind, Tone>> = { change: "good", broadcast: "warn", presence: "plain", channel: "plain" }

/** A page that draws more than these again and again is too slow for the server, and is sent away. */
const FIRST_ROWS = 50

export interface FramesPanelProps {
  readonly state: ListenerState
  readonly onClear: () => void
}

export function FramesPanel({ state: { frames, phase }, onClear }: FramesPanelProps): ReactElement {
  const { shown, isPaused, toggle } = usePausable(frames)
  const [open, setOpen] = useState<Frame | null>(null)
  const [isWhole, setIsWhole] = useState(false)
  const columns = useMemo(() => columnsOf(setOpen), [])
  const missed = frames.total - shown.total
  return (
    <>
      <div className="page-head">
        <p className="soft">{wordsOf(shown.total, isPaused && missed > 0 ? missed : 0)}</p>
        <div className="row">
          <PauseButton isPaused={isPaused} toggle={toggle} />
          <Button onClick={() => { onClear(); if (isPaused) toggle() }} disabled={frames.total === 0}>Clear</Button>
        </div>
      </div>
      <div className="frames">
        <DataTable caption="Frames" columns={columns} rows={isWhole ? shown.shown : shown.shown.slice(0, FIRST_ROWS)} keyOf={({ number }) => number} empty={<Nothing isOn={phase !== "idle"} />} />
      </div>
      {shown.shown.length > FIRST_ROWS && (
        <div className="row"><Button kind="link" onClick={() => setIsWhole(!isWhole)}>{isWhole ? `Show the last ${FIRST_ROWS}` : `Show all ${shown.shown.length}`}</Button></div>
      )}
      {open && <FrameDialog frame={open} onClose={() => setOpen(null)} />}
    </>
  )
}

function Nothing({ isOn }: { readonly isOn: boolean }): ReactElement {
  return isOn
    ? <EmptyState title="Nothing has arrived yet">It appears here by itself, the newest first.</EmptyState>
    : <EmptyState title="Nobody is listening">Name a topic or a table, say as whom, and listen: by a token for 15 minutes, on a connection of its own.</EmptyState>
}

function wordsOf(total: number, missed: number): string {
  const many = total > MOST_FRAMES ? `The last of ${count(total)} frames` : `${count(total)} ${total === 1 ? "frame" : "frames"}`
  return missed > 0 ? `${many}; ${count(missed)} more came since.` : `${many}.`
}

function columnsOf(open: (frame: Frame) => void): Column<Frame>[] {
  return [
    { id: "number", header: "No.", cell: (frame) => <Button kind="link" aria-label={`Frame ${frame.number}`} onClick={() => open(frame)}>{frame.number}</Button> },
    { id: "at", header: "Time", cell: ({ at }) => <time title={dateAndTime(at / 1000)}>{timeOfDay(at / 1000)}</time> },
    { id: "kind", header: "Kind", cell: ({ kind }) => <Badge tone={TONES[kind]}>{kind}</Badge> },
    { id: "event", header: "Event", cell: ({ event }) => event },
    { id: "of", header: "Of", cell: ({ of }) => <span className="mono">{of}</span> },
    { id: "delay", header: "After commit", align: "end", cell: ({ delayMs }) => joined(milliseconds(delayMs)) },
    { id: "size", header: "Size", align: "end", cell: (frame) => joined(bytes(frame.bytes)) },
  ]
}

function FrameDialog({ frame, onClose }: { readonly frame: Frame; readonly onClose: () => void }): ReactElement {
  return (
    <Dialog title={`Frame ${frame.number}`} onClose={onClose}>
      <Details entries={[
        ["Arrived", dateAndTime(frame.at / 1000)],
        ["After commit", joined(milliseconds(frame.delayMs))],
        ["Size", joined(bytes(frame.bytes))],
      ]} />
      <pre className="json" tabIndex={0} aria-label="As JSON">{JSON.stringify(JSON.parse(frame.json), null, 2)}</pre>
    </Dialog>
  )
}
