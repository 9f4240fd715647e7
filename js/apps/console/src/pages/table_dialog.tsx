/** One table, and how each role stands to it. */
import { Badge, Details, Dialog, rate } from "@tidewire/ui"
import type { ReactElement } from "react"

import { AskedGate } from "../asked_gate.tsx"
import type { RoleSight, TableSight } from "../table_types.ts"
import { identityOf, nameOf, roleWordsOf, rowSecurityOf } from "../table_words.ts"
import { useAsked } from "../use_asked.ts"

export interface TableDialogProps {
  readonly table: TableSight
  readonly onClose: () => void
}

export function TableDialog({ table, onClose }: TableDialogProps): ReactElement {
  const path = `/tables/${encodeURIComponent(table.schema)}/${encodeURIComponent(table.name)}`
  const asked = useAsked<{ roles: RoleSight[] }>(path)
  return (
    <Dialog title={nameOf(table)} onClose={onClose}>
      <Details entries={[
        ["Publications", table.publications.join(", ") || "through its partitioned table"],
        ["Primary key", table.primary_key.join(", ") || "none"],
        ["Old rows carry", identityOf(table).word],
        ["Row-level security", rowSecurityOf(table).word],
        ["Partitioned", table.partitioned ? "yes" : "no"],
        ["Followed by", `${table.subscriptions} subscriptions in ${table.audiences} audiences`],
        ["Changes", `${rate(table.changes_per_s)} per s`],
      ]} />
      <section className="words" aria-label="Roles">
        <h3>What each role sees</h3>
        <AskedGate asked={asked} title="Asking for the roles">
          {({ roles }) => <Roles roles={roles} isGuarded={table.row_security} />}
        </AskedGate>
      </section>
    </Dialog>
  )
}

function Roles({ roles, isGuarded }: { readonly roles: readonly RoleSight[]; readonly isGuarded: boolean }): ReactElement {
  return (
    <ul className="roles">
      {roles.map((sight) => {
        const { tone, word, sees, why } = roleWordsOf(sight, isGuarded)
        return (
          <li key={sight.role}>
            <div className="row"><span className="mono">{sight.role}</span><Badge tone={tone}>{word}</Badge></div>
            <p>{sees}</p>
            {why !== "" && <p><strong>Why not compiled: </strong>{why}</p>}
          </li>
        )
      })}
    </ul>
  )
}
