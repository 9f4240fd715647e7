/** Says of a table how it is published and guarded, and puts doctor's findings in order. Pure. */
import type { Tone } from "@tidewire/ui"

import type { Finding, RoleSight, TableSight } from "./table_types.ts"

export interface Said {
  readonly tone: Tone
  readonly word: string
}

export interface RoleWords extends Said {
  readonly sees: string
  readonly why: string
}

export interface TableSights {
  readonly tables: readonly TableSight[]
}

export interface FindingGroup {
  readonly code: string
  readonly severity: Finding["severity"]
  readonly findings: readonly Finding[]
}

const IDENTITIES: Readonly<Record<TableSight["identity"], string>> = {
  default: "primary key",
  full: "whole row",
  nothing: "nothing",
  index: "an index",
}
const WORST_FIRST = ["error", "warning", "ok"] as const
export const TONES = { error: "bad", warning: "warn", ok: "plain" } as const satisfies Record<Finding["severity"], Tone>

export const nameOf = ({ schema, name }: Pick<TableSight, "schema" | "name">): string => `${schema}.${name}`

/** What of an old row is in the log, which is what tells rows apart. */
export function identityOf({ identity, primary_key }: TableSight): Said {
  const isNothing = identity === "nothing" || (identity === "default" && primary_key.length === 0)
  return isNothing ? { tone: "bad", word: IDENTITIES.nothing } : { tone: "plain", word: IDENTITIES[identity] }
}

export function rowSecurityOf({ row_security, policies }: TableSight): Said {
  const number = policies === 1 ? "1 policy" : `${policies} policies`
  if (row_security) return { tone: "good", word: `on, ${number}` }
  return policies > 0 ? { tone: "bad", word: `off, ${number}` } : { tone: "warn", word: "off" }
}

export function roleWordsOf({ role, policies, why, hidden_columns }: RoleSight, isGuarded: boolean): RoleWords {
  const columns = hidden_columns.length > 0 ? `, but not ${hidden_columns.join(", ")}` : ""
  const judged = `The rows that its policies admit${columns}.`
  switch (policies) {
    case "gone":
      return { tone: "warn", word: "no such role", sees: "Nothing: the database has no role of this name.", why }
    case "closed":
      return { tone: "plain", word: "closed", sees: "Nothing: it may not SELECT.", why }
    case "open": {
      const tone = isGuarded || role === "service_role" ? "plain" : "warn"
      return { tone, word: "open", sees: `Every row${columns}: no policy binds it.`, why }
    }
    case "compiled":
      return { tone: "good", word: "compiled", sees: judged, why: "" }
    case "postgres":
      return { tone: "plain", word: "by Postgres", sees: judged, why: why || "Its policies cannot be compiled." }
  }
}

/** Give back each table of before that is the same still: only what has changed is to be seen as changed. */
export function settled(before: TableSights | null, now: TableSights): TableSights {
  const known = new Map(before?.tables.map((table) => [JSON.stringify(table), table]))
  return { tables: now.tables.map((table) => known.get(JSON.stringify(table)) ?? table) }
}

/** What is about no table in particular concerns them all. */
export function matches(table: string | null, wanted: string): boolean {
  return table === null || table.toLowerCase().includes(wanted.trim().toLowerCase())
}

/** Those that want a repair, by code: the worst first, and else in the order in which they are best repaired. */
export function groupsOf(findings: readonly Finding[]): FindingGroup[] {
  const groups = new Map<string, Finding[]>()
  for (const finding of findings) {
    if (finding.severity === "ok") continue
    const key = `${finding.severity} ${finding.code}`
    groups.set(key, [...(groups.get(key) ?? []), finding])
  }
  const found = [...groups.values()].flatMap((each) => (each[0] ? [{ code: each[0].code, severity: each[0].severity, findings: each }] : []))
  return found.sort((one, other) => WORST_FIRST.indexOf(one.severity) - WORST_FIRST.indexOf(other.severity))
}

/** How many findings there are of a table, or altogether, and how bad the worst is. */
export function summaryOf(findings: readonly Finding[], table?: string): Said | null {
  const found = findings.filter((each) => each.severity !== "ok" && (table === undefined || each.table === table))
  const errors = found.filter(({ severity }) => severity === "error").length
  const said = [numbered(errors, "error"), numbered(found.length - errors, "warning")].filter((each) => each !== "")
  return said.length === 0 ? null : { tone: errors > 0 ? "bad" : "warn", word: said.join(", ") }
}

const numbered = (number: number, noun: string): string => (number === 0 ? "" : `${number} ${noun}${number > 1 ? "s" : ""}`)
