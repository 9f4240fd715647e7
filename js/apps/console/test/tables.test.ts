import { describe, expect, it } from "vitest"

import type { Finding, RoleSight, TableSight } from "../src/table_types.ts"
import { groupsOf, identityOf, matches, nameOf, roleWordsOf, rowSecurityOf, settled, summaryOf } from "../src/table_words.ts"

const TABLE: TableSight = {
  schema: "public", name: "orders", partitioned: false, publications: ["supabase_realtime"], identity: "default", primary_key: ["id"],
  row_security: true, policies: 2, subscriptions: 0, audiences: 0, changes_per_s: 0, roles: [],
}

describe("a table", () => {
  it("says what tells its rows apart", () => {
    const of = (change: Partial<TableSight>) => {
      const { tone, word } = identityOf({ ...TABLE, ...change })
      return [tone, word]
    }
    expect(of({})).toEqual(["plain", "primary key"])
    expect(of({ primary_key: [] })).toEqual(["bad", "nothing"])
    expect(of({ identity: "nothing" })).toEqual(["bad", "nothing"])
    expect(of({ identity: "full", primary_key: [] })).toEqual(["plain", "whole row"])
  })

  it("says how it is guarded", () => {
    const of = (row_security: boolean, policies: number) => {
      const { tone, word } = rowSecurityOf({ ...TABLE, row_security, policies })
      return [tone, word]
    }
    expect([of(true, 2), of(true, 0)]).toEqual([["good", "on, 2 policies"], ["good", "on, 0 policies"]])
    expect([of(false, 0), of(false, 1)]).toEqual([["warn", "off"], ["bad", "off, 1 policy"]])
  })

  it("that has not changed is the same as before", () => {
    const before = settled(null, { tables: [TABLE, { ...TABLE, name: "a" }] })
    const after = settled(before, { tables: [{ ...TABLE, name: "a" }, { ...TABLE, subscriptions: 1 }] })
    expect(after.tables[0]).toBe(before.tables[1])
    expect(after.tables[1]).toEqual({ ...TABLE, subscriptions: 1 })
  })

  it("is found by a part of its name", () => {
    expect(["", " ORDER ", "public.o", "orders2"].map((wanted) => matches(nameOf(TABLE), wanted))).toEqual([true, true, true, false])
  })
})

describe("a role", () => {
  const of = (policies: RoleSight["policies"], why = "", isGuarded = true) => roleWordsOf({ role: "anon", policies, why, hidden_columns: ["secret"] }, isGuarded)

  it("has a word and a sentence for each way to stand to a table", () => {
    const words = (["gone", "closed", "open", "compiled", "postgres"] as const).map((policies) => of(policies))
    expect(new Set(words.map(({ word }) => word)).size).toBe(5)
    expect(words.map(({ sees }) => sees.includes("but not secret"))).toEqual([false, false, true, true, true])
  })

  it("says why Postgres judges, and only then", () => {
    expect([of("postgres", "EXISTS reads tables").why, of("postgres").why === "", of("compiled", "stale").why]).toEqual(["EXISTS reads tables", false, ""])
  })

  it("is worth a look where it sees everything of a table without row-level security", () => {
    expect([of("open").tone, of("open", "", false).tone]).toEqual(["plain", "warn"])
    const service = roleWordsOf({ role: "service_role", policies: "open", why: "", hidden_columns: [] }, false)
    expect(service.tone).toBe("plain")
  })
})

describe("findings", () => {
  const finding = (code: string, severity: Finding["severity"], table: string | null = null): Finding =>
    ({ id: code, code, severity, table, message: "m", fix: "", runnable: false })
  const ALL = [
    finding("Encryption", "warning"), finding("OldRecord", "ok", "public.a"), finding("OldRecord", "warning", nameOf(TABLE)),
    finding("ReplicaIdentity", "error", nameOf(TABLE)), finding("OldRecord", "warning", "public.b"),
  ]

  it("come by code, errors first, and else as they were told", () => {
    expect(groupsOf(ALL).map(({ code, severity, findings }) => [code, severity, findings.length])).toEqual([
      ["ReplicaIdentity", "error", 1], ["Encryption", "warning", 1], ["OldRecord", "warning", 2],
    ])
  })

  it("are counted for a table and altogether", () => {
    expect(summaryOf(ALL)).toEqual({ tone: "bad", word: "1 error, 3 warnings" })
    expect(summaryOf(ALL, "public.b")).toEqual({ tone: "warn", word: "1 warning" })
    expect(summaryOf(ALL, "public.a")).toBeNull()
  })
})
