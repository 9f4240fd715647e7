/** Who is connected, and how well they read. */
import { age, Badge, Button, bytes, type Column, count, DataTable, dateAndTime, EmptyState, joined, milliseconds, PauseButton, useNow, usePausable } from "@tidewire/ui"
import { type ReactElement, useMemo, useState } from "react"

import { FeedGate } from "../feed_gate.tsx"
import { useConnections } from "../feeds.ts"
import type { Connection } from "../feed_types.ts"
import { PageHead } from "../page_head.tsx"
import { ConnectionDialog } from "./connection_dialog.tsx"

const TRANSPORTS = { websocket: "WebSocket", sse: "Event stream", longpoll: "Long polling" } as const
const MUCH_BYTES = 64 * 1024

export default function ConnectionsPage(): ReactElement {
  const { shown, isPaused, toggle } = usePausable(useConnections())
  const [wanted, setWanted] = useState("")
  const [open, setOpen] = useState<number | null>(null)
  const columns = useMemo(() => columnsOf(setOpen), [])
  return (
    <div className="page">
      <PageHead title="Connections" about="Who is connected, since when, and what waits for them.">
        <input type="search" aria-label="Show only users and roles with" placeholder="User or role" value={wanted} onChange={(event) => setWanted(event.target.value)} />
        <PauseButton isPaused={isPaused} toggle={toggle} />
      </PageHead>
      <FeedGate feed={shown} title="Waiting for the list">
        {({ connections, total, most }) => (
          <>
            <p className="soft">{total > most ? `The ${most} oldest of ${count(total)} connections.` : `${count(total)} connected.`}</p>
            <DataTable
              caption="Connections"
              columns={columns}
              rows={connections.filter((row) => matches(row, wanted))}
              keyOf={(row) => row.number}
              empty={<EmptyState title={wanted ? "Nobody matches" : "Nobody is connected"} />}
            />
          </>
        )}
      </FeedGate>
      {open !== null && <ConnectionDialog number={open} onClose={() => setOpen(null)} />}
    </div>
  )
}

function matches({ role, user }: Connection, wanted: string): boolean {
  const text = `${user ?? ""} ${role ?? ""}`.toLowerCase()
  return text.includes(wanted.trim().toLowerCase())
}

function columnsOf(open: (number: number) => void): Column<Connection>[] {
  return [
    { id: "number", header: "No.", cell: ({ number }) => <Button kind="link" aria-label={`Connection ${number}`} onClick={() => open(number)}>{number}</Button> },
    { id: "user", header: "User", cell: ({ user }) => (user === null ? <span className="soft">nobody</span> : <span className="mono">{user}</span>) },
    { id: "role", header: "Role", cell: ({ role }) => (role === null ? <span className="soft">not joined yet</span> : role) },
    { id: "transport", header: "Transport", cell: ({ transport }) => <Badge tone={transport === "websocket" ? "good" : "plain"}>{TRANSPORTS[transport]}</Badge> },
    { id: "channels", header: "Channels", align: "end", cell: ({ channels }) => count(channels) },
    { id: "queue", header: "Queue", align: "end", cell: ({ queue_bytes }) => <Queue waiting={queue_bytes} /> },
    { id: "rtt", header: "Round trip", align: "end", cell: ({ rtt_ms }) => joined(milliseconds(rtt_ms)) },
    { id: "since", header: "For", align: "end", cell: ({ since }) => <Since at={since} /> },
  ]
}

function Queue({ waiting }: { readonly waiting: number }): ReactElement {
  if (waiting === 0) return <span className="soft">empty</span>
  return waiting >= MUCH_BYTES ? <Badge tone="warn">{joined(bytes(waiting))}</Badge> : <>{joined(bytes(waiting))}</>
}

function Since({ at }: { readonly at: number }): ReactElement {
  const now = useNow()
  return <time title={dateAndTime(at)}>{age(now / 1000 - at)}</time>
}
