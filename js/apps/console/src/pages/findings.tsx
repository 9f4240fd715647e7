/** What doctor finds: what it is, why that matters, and what mends it. */
import { Badge, Button, EmptyState } from "@tidewire/ui"
import doctorPage from "@tidewire/reference/doctor.md?raw"
import { type ReactElement, useState } from "react"

import { handbookOf } from "../handbook.ts"
import { Prose } from "../prose.tsx"
import { Sql } from "../sql.tsx"
import type { Finding } from "../table_types.ts"
import { type FindingGroup, groupsOf, TONES } from "../table_words.ts"

const WORDS = handbookOf(doctorPage)
const MOST_ALIKE = 10 // a thousand tables with the same lack must not push everything else off the page

export interface FindingsProps {
  readonly findings: readonly Finding[]
  readonly onFix: (finding: Finding) => void
}

export function Findings({ findings, onFix }: FindingsProps): ReactElement {
  const groups = groupsOf(findings)
  const fine = findings.filter(({ severity }) => severity === "ok")
  return (
    <>
      {groups.length === 0
        ? <EmptyState title="Nothing keeps changes from arriving" />
        : groups.map((group) => <Group key={`${group.severity} ${group.code}`} group={group} onFix={onFix} />)}
      <Fine findings={fine} onFix={onFix} />
    </>
  )
}

function Group({ group: { code, severity, findings }, onFix }: { readonly group: FindingGroup; readonly onFix: (finding: Finding) => void }): ReactElement {
  const [isWhole, setIsWhole] = useState(false)
  const shown = isWhole ? findings : findings.slice(0, MOST_ALIKE)
  const more = findings.length - shown.length
  return (
    <article className="finding" aria-label={code}>
      <div className="row"><h3>{code}</h3><Badge tone={TONES[severity]}>{severity}</Badge></div>
      <Prose paragraphs={WORDS.get(code) ?? []} />
      <ul>{shown.map((finding) => <Item key={keyOf(finding)} finding={finding} onFix={onFix} />)}</ul>
      {more > 0 && <Button kind="quiet" onClick={() => setIsWhole(true)}>{`Show ${more} more`}</Button>}
    </article>
  )
}

function Item({ finding, onFix }: { readonly finding: Finding; readonly onFix: (finding: Finding) => void }): ReactElement {
  const { code, table, message, fix, runnable } = finding
  return (
    <li>
      <p>{table !== null && <><strong className="mono">{table}</strong> </>}{message}</p>
      {runnable && <Button aria-label={`Fix ${code}${table === null ? "" : ` of ${table}`}`} onClick={() => onFix(finding)}>Fix</Button>}
      {!runnable && fix !== "" && <Sql title="For you to run, after reading it" text={fix} />}
    </li>
  )
}

/** What is as it should be, and what could be better still. */
function Fine({ findings, onFix }: FindingsProps): ReactElement | null {
  if (findings.length === 0) return null
  return (
    <details className="finding">
      <summary>{findings.length === 1 ? "1 check is fine" : `${findings.length} checks are fine`}</summary>
      <ul>{findings.map((finding) => <Item key={keyOf(finding)} finding={finding} onFix={onFix} />)}</ul>
    </details>
  )
}

/** Several of one code may have the same fix, and so the same id. */
const keyOf = ({ id, message, table }: Finding): string => [id, table, message].join(" ")
