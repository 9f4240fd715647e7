import { cleanup, render, screen } from "@testing-library/react"
import { afterEach, describe, expect, it } from "vitest"

import { ApiError } from "../src/api.ts"
import { AskedGate } from "../src/asked_gate.tsx"
import { Findings } from "../src/pages/findings.tsx"
import { TableList } from "../src/pages/table_list.tsx"
import type { Finding, TableSight } from "../src/table_types.ts"
import type { Asked } from "../src/use_asked.ts"

afterEach(cleanup)

const nothing = (): void => undefined
const TABLE: TableSight = {
  schema: "public", name: "t0", partitioned: false, publications: [], identity: "default", primary_key: ["id"],
  row_security: true, policies: 1, subscriptions: 0, audiences: 0, changes_per_s: 0, roles: [],
}

describe("what is asked for", () => {
  const asked = (change: Partial<Asked<string>>): Asked<string> => ({ answer: null, error: null, isAsking: false, again: nothing, ...change })
  const gate = (change: Partial<Asked<string>>) => render(<AskedGate asked={asked(change)} title="Reading">{(value) => <p>{value}</p>}</AskedGate>)
  const error = new ApiError(503, { message: "the database is away", hint: "see whether it runs" })
  const answer = { value: "found", at: 0 }

  it("is waited for, shown, missing or old", () => {
    gate({ isAsking: true })
    expect(screen.getByRole("status").textContent).toBe("Reading")
    cleanup()
    gate({ answer })
    expect(screen.getByText("found")).toBeTruthy()
    cleanup()
    gate({ error })
    expect(screen.getByRole("alert").textContent).toMatch(/the database is away.*see whether it runs.*Try again/)
    cleanup()
    gate({ answer, error })
    expect(screen.getByRole("status").textContent).toMatch(/^the database is away\. What you see was read at/)
    expect(screen.getByText("found")).toBeTruthy()
  })
})

describe("the list of tables", () => {
  const list = (tables: readonly TableSight[], wanted = "") => render(<TableList tables={tables} wanted={wanted} findings={null} onOpen={nothing} />)

  it("says that it is empty, and why", () => {
    list([])
    expect(screen.getByText("No table is published")).toBeTruthy()
    cleanup()
    list([TABLE], "other")
    expect(screen.getByText("No table has such a name")).toBeTruthy()
  })

  it("is bounded", () => {
    list(Array.from({ length: 1000 }, (_, number) => ({ ...TABLE, name: `t${number}` })))
    expect(screen.getAllByRole("row")).toHaveLength(201)
    expect(screen.getByText(/^The first 200 of 1,000/)).toBeTruthy()
  })
})

describe("findings", () => {
  const finding = (number: number): Finding => ({ id: "same", code: "PrimaryKey", severity: "warning", message: "has none", fix: "ALTER …;", runnable: true, table: `public.t${number}` })

  it("of one kind do not push all others away", () => {
    render(<Findings findings={Array.from({ length: 30 }, (_, number) => finding(number))} onFix={nothing} />)
    expect(screen.getAllByRole("button", { name: /^Fix/ })).toHaveLength(10)
    expect(screen.getByRole("button", { name: "Show 20 more" })).toBeTruthy()
    expect(screen.getByText(/cannot tell which row/)).toBeTruthy() // why it matters, from the reference
  })

  it("may be none", () => {
    render(<Findings findings={[{ ...finding(1), severity: "ok" }]} onFix={nothing} />)
    expect(screen.getByText("Nothing keeps changes from arriving")).toBeTruthy()
    expect(screen.getByText("1 check is fine")).toBeTruthy()
  })
})
