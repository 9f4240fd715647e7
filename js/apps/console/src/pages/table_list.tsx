/** All published tables, each in a line. */
import { Badge, Button, type Column, count, DataTable, EmptyState, rate } from "@tidewire/ui"
import { type ReactElement, useMemo } from "react"

import type { Finding, TableSight } from "../table_types.ts"
import { identityOf, matches, nameOf, roleWordsOf, rowSecurityOf, type Said, summaryOf } from "../table_words.ts"

const MOST_SHOWN = 200

export interface TableListProps {
  readonly tables: readonly TableSight[]
  readonly wanted: string
  /** Null before doctor has looked. */
  readonly findings: readonly Finding[] | null
  readonly onOpen: (table: TableSight) => void
}

export function TableList({ tables, wanted, findings, onOpen }: TableListProps): ReactElement {
  const columns = useMemo(() => columnsOf(onOpen, findings), [onOpen, findings])
  const found = tables.filter((table) => matches(nameOf(table), wanted))
  return (
    <div className="table-list">
      <DataTable
        caption="Published tables"
        columns={columns}
        rows={found.slice(0, MOST_SHOWN)}
        keyOf={nameOf}
        empty={tables.length > 0
          ? <EmptyState title="No table has such a name" />
          : <EmptyState title="No table is published">Publish one with <code>tidewire publish TABLE</code>, or by what doctor proposes.</EmptyState>}
      />
      {found.length > MOST_SHOWN && <p className="soft">{`The first ${MOST_SHOWN} of ${count(found.length)}. Type a part of a name to see others.`}</p>}
    </div>
  )
}

function columnsOf(onOpen: (table: TableSight) => void, findings: readonly Finding[] | null): Column<TableSight>[] {
  return [
    { id: "table", header: "Table", cell: (table) => <Name table={table} onOpen={onOpen} /> },
    { id: "findings", header: "Findings", cell: (table) => <SaidBadge said={findings && summaryOf(findings, nameOf(table))} /> },
    { id: "security", header: "Row-level security", cell: (table) => <SaidBadge said={rowSecurityOf(table)} /> },
    { id: "roles", header: "Followed as", cell: (table) => <Followers table={table} /> },
    { id: "changes", header: "Changes/s", align: "end", cell: ({ changes_per_s }) => rate(changes_per_s) },
    { id: "subscriptions", header: "Subscriptions", align: "end", cell: ({ subscriptions, audiences }) => <Number of={subscriptions} note={`in ${audiences === 1 ? "1 audience" : `${count(audiences)} audiences`}`} /> },
    { id: "key", header: "Primary key", cell: ({ primary_key }) => (primary_key.length > 0 ? <span className="mono">{primary_key.join(", ")}</span> : <Badge tone="warn">none</Badge>) },
    { id: "identity", header: "Old rows carry", cell: (table) => <Plainly said={identityOf(table)} /> },
    { id: "publications", header: "Publications", cell: ({ publications }) => <span className="mono">{publications.join(", ")}</span> },
  ]
}

function Name({ table, onOpen }: { readonly table: TableSight; readonly onOpen: (table: TableSight) => void }): ReactElement {
  return <Button kind="link" onClick={() => onOpen(table)}><span className="mono">{nameOf(table)}</span></Button>
}

function Followers({ table }: { readonly table: TableSight }): ReactElement {
  if (table.roles.length === 0) return <span className="soft">–</span>
  return (
    <>
      {table.roles.map((sight) => {
        const { tone, word } = roleWordsOf(sight, table.row_security)
        return <div key={sight.role} className="followed">{sight.role} <Badge tone={tone}>{word}</Badge></div>
      })}
    </>
  )
}

function Number({ of, note }: { readonly of: number; readonly note: string }): ReactElement {
  return of === 0 ? <span className="soft">–</span> : <>{count(of)} <span className="soft">{note}</span></>
}

function SaidBadge({ said }: { readonly said: Said | null }): ReactElement {
  return said ? <Badge tone={said.tone}>{said.word}</Badge> : <span className="soft">–</span>
}

/** A word that is only a badge where it is not as it should be. */
function Plainly({ said }: { readonly said: Said }): ReactElement {
  return said.tone === "plain" ? <>{said.word}</> : <SaidBadge said={said} />
}
