/** A verdict: whether the row arrives, in one sentence, and each thing that has to be right for it. */
import { Badge, type Tone } from "@tidewire/ui"
import { CircleCheck, CircleMinus, CircleX } from "lucide-react"
import { type ReactElement, useEffect, useRef } from "react"

import type { Question } from "../inspector/reading.ts"
import { type Line, list, type Outcome, type PolicyVerdict, tell, type Verdict } from "../inspector/verdict.ts"

const FACES: Readonly<Record<Outcome, { Icon: typeof CircleCheck; word: string }>> = {
  passed: { Icon: CircleCheck, word: "Yes" },
  failed: { Icon: CircleX, word: "No" },
  skipped: { Icon: CircleMinus, word: "Not looked at" },
}
const TONES: Readonly<Record<PolicyVerdict["answer"], Tone>> = { true: "good", false: "bad", unknown: "warn", error: "bad" }
const WORDS: Readonly<Record<PolicyVerdict["answer"], string>> = { true: "true", false: "false", unknown: "unknown (NULL)", error: "error" }

export function VerdictView({ verdict, question }: { readonly verdict: Verdict; readonly question: Question }): ReactElement {
  const told = tell(verdict, question)
  const first = useRef<HTMLParagraphElement>(null)
  useEffect(() => {
    first.current?.scrollIntoView({ block: "nearest" }) // on a phone it is below the form; newer browsers return a promise
  }, [verdict])
  return (
    <>
      <p ref={first} role="status" className="verdict" data-tone={told.arrives ? "good" : "bad"}>{told.sentence}</p>
      {verdict.assumed_null.length > 0 && <p className="soft">The row leaves out {list(verdict.assumed_null)}: taken as NULL.</p>}
      <ol className="steps" aria-label="What has to be right">
        {told.lines.map((line) => <StepLine key={line.id} line={line} policies={line.id === "policies" ? verdict.policies : []} />)}
      </ol>
    </>
  )
}

function StepLine({ line: { title, outcome, text, remedy }, policies }: { readonly line: Line; readonly policies: readonly PolicyVerdict[] }): ReactElement {
  const { Icon, word } = FACES[outcome]
  return (
    <li data-outcome={outcome}>
      <Icon size={18} aria-hidden />
      <div className="step">
        <h3>{title} <span className="tw-hidden">: {word}</span></h3>
        <p>{sentence(text)}</p>
        {remedy !== "" && <p className="soft">{remedy}</p>}
        {policies.length > 0 && <ul className="policies">{policies.map((policy) => <PolicyLine key={policy.name} policy={policy} />)}</ul>}
      </div>
    </li>
  )
}

function PolicyLine({ policy }: { readonly policy: PolicyVerdict }): ReactElement {
  const { name, permissive, expression, judged_by, why, answer, sqlstate } = policy
  return (
    <li>
      <div className="row">
        <strong>{name}</strong>
        <Badge tone={TONES[answer]}>{WORDS[answer]}{sqlstate !== null && ` ${sqlstate}`}</Badge>
        {!permissive && <Badge>restrictive</Badge>}
        {judged_by === "postgres" && <Badge>by Postgres</Badge>}
      </div>
      <code className="sql">{expression === "" ? "true" : expression}</code>
      {why !== "" && <p className="soft">{sentence(why)}</p>}
    </li>
  )
}

/** Begin with a capital and end with a stop, as long as that changes no name. */
function sentence(text: string): string {
  const begun = text.replace(/^(?:the|none|only|there|row|policy|what)\b/, (word) => word.charAt(0).toUpperCase() + word.slice(1))
  return begun.replace(/\.?$/, ".")
}
