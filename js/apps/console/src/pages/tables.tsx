/** How tables are published and guarded, and what doctor finds. Asked for, as no feed tells it. */
import { age, Badge, Button, dateAndTime, Panel, useNow } from "@tidewire/ui"
import { RefreshCw } from "lucide-react"
import { type ReactElement, useEffect, useRef, useState } from "react"

import { AskedGate } from "../asked_gate.tsx"
import { PageHead } from "../page_head.tsx"
import type { Finding, TableSight } from "../table_types.ts"
import { matches, settled, summaryOf } from "../table_words.ts"
import { useAsked } from "../use_asked.ts"
import { Findings } from "./findings.tsx"
import { FixDialog } from "./fix_dialog.tsx"
import { TableDialog } from "./table_dialog.tsx"
import { TableList } from "./table_list.tsx"

export default function TablesPage(): ReactElement {
  const tables = useAsked("/tables", settled)
  const doctor = useAsked<{ findings: Finding[] }>("/doctor")
  const [wanted, setWanted] = useState("")
  const [open, setOpen] = useState<TableSight | null>(null)
  const [fixing, setFixing] = useState<Finding | null>(null)
  const [below, expectFocus] = useFocusAfter(fixing)
  const found = doctor.answer?.value.findings ?? null
  const refresh = (): void => {
    tables.again()
    doctor.again()
  }
  const lookAgain = (): void => {
    expectFocus()
    refresh()
  }
  return (
    <div className="page">
      <PageHead title="Tables" about="What is published, who may see it, and what keeps changes from arriving.">
        <input type="search" aria-label="Show only tables with" placeholder="Table" value={wanted} onChange={(event) => setWanted(event.target.value)} />
        <Button onClick={refresh} aria-busy={tables.isAsking || doctor.isAsking}><RefreshCw size={15} aria-hidden />Refresh</Button>
      </PageHead>
      {tables.answer && <Stand at={tables.answer.at} findings={found} />}
      <AskedGate asked={tables} title="Reading the tables">
        {({ tables }) => <TableList tables={tables} wanted={wanted} findings={found} onOpen={setOpen} />}
      </AskedGate>
      <div ref={below} id="findings" tabIndex={-1}>
        <Panel title="What doctor finds">
          <AskedGate asked={doctor} title="Looking at the database">
            {({ findings }) => <Findings findings={findings.filter(({ table }) => matches(table, wanted))} onFix={setFixing} />}
          </AskedGate>
        </Panel>
      </div>
      {open && <TableDialog table={open} onClose={() => setOpen(null)} />}
      {fixing && <FixDialog finding={fixing} onTried={lookAgain} onClose={() => setFixing(null)} />}
    </div>
  )
}

function Stand({ at, findings }: { readonly at: number; readonly findings: readonly Finding[] | null }): ReactElement {
  const now = useNow()
  const summary = findings && summaryOf(findings)
  return (
    <p className="row soft">
      <time title={dateAndTime(at)}>{`Read ${age(now / 1000 - at)} ago.`}</time>
      {summary && <span><a href="#findings">What doctor finds</a> <Badge tone={summary.tone}>{summary.word}</Badge></span>}
    </p>
  )
}

/** What opened a window may be gone when it closes, because it was mended. Whoever expects that has the focus put here. */
function useFocusAfter(shown: object | null): readonly [React.RefObject<HTMLDivElement | null>, () => void] {
  const place = useRef<HTMLDivElement>(null)
  const isExpected = useRef(false)
  useEffect(() => {
    if (shown !== null || !isExpected.current) return
    isExpected.current = false
    place.current?.focus({ preventScroll: true })
  }, [shown])
  return [place, () => (isExpected.current = true)]
}
