/** Asks why a row does or does not reach somebody. */
import { Button, EmptyState, ErrorState, Field, LoadingState, Panel, StaleNote } from "@tidewire/ui"
import type { ReactElement } from "react"

import { isAbout } from "../inspector/reading.ts"
import { EVENTS, type Wish } from "../inspector/wish.ts"
import { WishFields, type WishParts } from "./inspector_fields.tsx"
import { VerdictView } from "./inspector_verdict.tsx"
import type { Answer, Asking } from "./use_verdict.ts"

export interface InspectorWhyProps extends WishParts {
  readonly asking: Asking
}

const WORDS = { INSERT: "it was inserted", UPDATE: "it was updated", DELETE: "it was deleted" } as const

export function InspectorWhy({ wish, tables, onChange, asking: { answer, problems, submit, forget } }: InspectorWhyProps): ReactElement {
  const change = (next: Partial<Wish>): void => {
    forget(Object.keys(next) as (keyof Wish)[])
    onChange(next)
  }
  return (
    <div className="inspect">
      <Panel title="The row, and who should have got it">
        <form className="fields" onSubmit={submit} noValidate>
          <Field label="Row" problem={problems.row} hint="As it is in the table. What is left out counts as NULL.">
            {(control) => <textarea {...control} rows={5} spellCheck={false} placeholder={'{"id": 7, "status": "open"}'} value={wish.row} onChange={(event) => change({ row: event.target.value })} />}
          </Field>
          <Field label="What happened">
            {(control) => (
              <select {...control} value={wish.event} onChange={(event) => change({ event: event.target.value as Wish["event"] })}>
                {EVENTS.map((each) => <option key={each} value={each}>{WORDS[each]}</option>)}
              </select>
            )}
          </Field>
          {wish.event === "UPDATE" && (
            <Field label="Row before" problem={problems.old} hint="For who follows moves; empty: as it is now.">
              {(control) => <textarea {...control} rows={3} spellCheck={false} value={wish.old} onChange={(event) => change({ old: event.target.value })} />}
            </Field>
          )}
          <WishFields wish={wish} tables={tables} onChange={change} problems={problems} />
          <div className="row"><Button type="submit" kind="primary" disabled={answer.kind === "asking"}>Ask why</Button></div>
        </form>
      </Panel>
      <Panel title="The answer"><AnswerView answer={answer} wish={wish} /></Panel>
    </div>
  )
}

function AnswerView({ answer, wish }: { readonly answer: Answer; readonly wish: Wish }): ReactElement {
  switch (answer.kind) {
    case "none":
      return <EmptyState title="Nothing was asked yet">Paste a row and say who should have got it. Nothing is written, and nobody is told.</EmptyState>
    case "asking":
      return <LoadingState title="Asking" lines={6} />
    case "refused":
      return <ErrorState title={answer.error.message}>{answer.error.hint}</ErrorState>
    case "told":
      return (
        <>
          {!isAbout(answer.question, wish) && <StaleNote>The question has changed since. Ask again.</StaleNote>}
          <VerdictView verdict={answer.verdict} question={answer.question} />
        </>
      )
  }
}
