/** Turns a verdict of the server into what people read: one sentence, and a list of what had to be right. */
import type { Question } from "./reading.ts"

export interface Step {
  readonly ok: boolean
  readonly reason: string
}

export interface PolicyVerdict {
  readonly name: string
  readonly permissive: boolean
  readonly command: string
  readonly expression: string
  readonly judged_by: "compiled" | "postgres"
  readonly why: string
  readonly answer: "true" | "false" | "unknown" | "error"
  readonly sqlstate: string | null
}

/** The answer of POST /verdict, as docs/reference/http.md has it. */
export interface Verdict {
  readonly delivered: boolean
  readonly told_as: string | null
  readonly columns: readonly string[] | null
  readonly errors: readonly string[]
  readonly publication: Step
  readonly wish: Step | null
  readonly privilege: Step | null
  readonly policies_bind: boolean | null
  readonly policies: readonly PolicyVerdict[]
  readonly filter: Step | null
  readonly assumed_null: readonly string[]
}

export type Outcome = "passed" | "failed" | "skipped"

export interface Line {
  readonly id: "publication" | "wish" | "privilege" | "policies" | "filter"
  readonly title: string
  readonly outcome: Outcome
  readonly text: string
  readonly remedy: string
}

export interface Telling {
  readonly arrives: boolean
  readonly sentence: string
  readonly lines: readonly Line[]
}

export function tell(verdict: Verdict, question: Question): Telling {
  const lines = linesOf(verdict, question)
  return { arrives: verdict.delivered, sentence: verdict.delivered ? arrival(verdict) : absence(lines), lines }
}

function arrival({ told_as, columns, errors }: Verdict): string {
  const event = told_as ?? "a change"
  if (errors.length > 0) return `It arrives as ${event}, with an error in place of the row: ${errors.join(", ")}.`
  return columns === null ? `It arrives as ${event}.` : `It arrives as ${event}, with no columns but ${list(columns)}.`
}

function absence(lines: readonly Line[]): string {
  const reasons = lines.filter(({ outcome }) => outcome === "failed").map(({ text }) => text.replace(/\.$/, ""))
  if (reasons.length === 0) return "It does not arrive, and no step says why: the table may just have been changed. Ask again."
  return `It does not arrive, because ${list(reasons)}.`
}

function linesOf(verdict: Verdict, { schema, table, role, filter }: Question): Line[] {
  const name = `${schema}.${table}`
  const { publication, wish, privilege } = verdict
  return [
    line("publication", "The table is published", publication, {
      passed: `${name} is in a publication.`, failed: publication.reason, remedy: `tidewire publish ${name} makes it so.`,
    }),
    line("wish", "It can be asked for", wish, {
      passed: "Filter and columns fit the table and the role.", failed: wish?.reason ?? "",
      remedy: "Correct what is asked for; the reference of row changes has every refusal.",
    }),
    line("privilege", "The role may read it", privilege, {
      passed: privilege?.reason || `The role ${role} may SELECT every column.`, failed: privilege?.reason ?? "",
      remedy: `Grant SELECT on ${name} to ${role}, the primary key included.`,
    }),
    policyLine(verdict, role),
    line("filter", "It was asked for", verdict.filter, {
      passed: filter === "" ? "There is no filter, and the event is one that was asked for." : "The filter is true.",
      failed: verdict.filter?.reason ?? "", remedy: "Compare the filter and the event with the row.",
    }),
  ]
}

interface Words {
  readonly passed: string
  readonly failed: string
  readonly remedy: string
}

function line(id: Line["id"], title: string, step: Step | null, { passed, failed, remedy }: Words): Line {
  if (step === null) return { id, title, outcome: "skipped", text: "Could not be looked at.", remedy: "" }
  return { id, title, outcome: step.ok ? "passed" : "failed", text: step.ok ? passed : failed, remedy: step.ok ? "" : remedy }
}

const POLICIES = { id: "policies", title: "Policies let it through" } as const

function policyLine({ policies_bind, policies }: Verdict, role: string): Line {
  if (policies_bind === null) return { ...POLICIES, outcome: "skipped", text: "Could not be looked at.", remedy: "" }
  if (!policies_bind) return { ...POLICIES, outcome: "passed", text: `No policy binds ${role} on this table.`, remedy: "" }
  const failed = failureOf(policies, role)
  if (failed) return { ...POLICIES, outcome: "failed", ...failed }
  const admits = policies.filter(({ permissive, answer }) => permissive && answer === "true").map(({ name }) => quoted(name))
  return { ...POLICIES, outcome: "passed", text: `${list(admits)} ${admits.length === 1 ? "admits" : "admit"} it.`, remedy: "" }
}

function failureOf(policies: readonly PolicyVerdict[], role: string): { text: string; remedy: string } | null {
  const broken = policies.find(({ answer }) => answer === "error")
  if (broken) {
    return {
      text: `Postgres fails with the policy ${quoted(broken.name)}${broken.sqlstate ? ` (${broken.sqlstate})` : ""}.`,
      remedy: "Make its expression one that no row and no claims can make fail.",
    }
  }
  const barring = policies.find(({ permissive, answer }) => !permissive && answer !== "true")
  if (barring) {
    return { text: `the restrictive policy ${quoted(barring.name)} is ${barring.answer}.`, remedy: "It has to be true, whatever the others say." }
  }
  const open = policies.filter(({ permissive }) => permissive)
  if (open.length === 0) {
    return { text: `row-level security is on, and no policy admits ${role}.`, remedy: `Create a policy for select to ${role}, or look as another role.` }
  }
  if (open.some(({ answer }) => answer === "true")) return null
  const said = open.length === 1 ? `the policy ${quoted(open[0]?.name ?? "")} is ${open[0]?.answer ?? ""}.` : `none of ${open.length} permissive policies is true.`
  return { text: said, remedy: "Compare their SQL below with the row, the user and the claims." }
}

const quoted = (name: string): string => `“${name}”`

/** One, two and three. */
export function list(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1) ?? ""}`
}
