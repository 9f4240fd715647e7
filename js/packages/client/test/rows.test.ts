import fc from "fast-check"
import { describe, expect, it } from "vitest"

import { bindingOf, compareBy, pathOf, shapeOf, splitFilter } from "../src/rows/query.ts"
import { applyChange } from "../src/rows/reducer.ts"
import type { RealtimeEvent, Row } from "../src/types.ts"

const event = (eventType: RealtimeEvent["eventType"], values: Partial<RealtimeEvent>): RealtimeEvent => ({
  eventType, new: {}, old: {}, schema: "public", table: "t", commit_timestamp: "", errors: null, position: null, moved: null, ...values,
})

describe("a list", () => {
  const shape = shapeOf({ table: "t", order: "rank,id" }, null)

  it("keeps what a change left out because it is large", () => {
    const rows = [{ id: 1, rank: 1, body: "long" }]
    expect(applyChange(rows, event("UPDATE", { new: { id: 1, rank: 2 }, old: { id: 1 } }), shape).rows).toEqual([{ id: 1, rank: 2, body: "long" }])
  })

  it("follows a key that changes", () => {
    const rows = [{ id: 1, rank: 1 }, { id: 2, rank: 2 }]
    expect(applyChange(rows, event("UPDATE", { new: { id: 9, rank: 1 }, old: { id: 1 } }), shape).rows).toEqual([{ id: 9, rank: 1 }, { id: 2, rank: 2 }])
  })

  it("is emptied, and loaded again after a change that says too little", () => {
    expect(applyChange([{ id: 1 }], event("TRUNCATE", {}), shape).rows).toEqual([])
    expect(applyChange([{ id: 1 }], event("UPDATE", { errors: ["Error 413: Payload Too Large"] }), shape).mustReload).toBe(true)
  })

  it("is the table, whatever is done to it, or says that it must be loaded", () => {
    const step = fc.record({ op: fc.constantFrom("put", "delete"), id: fc.nat(12), rank: fc.option(fc.nat(4)) })
    fc.assert(fc.property(fc.array(step, { maxLength: 40 }), fc.option(fc.integer({ min: 1, max: 5 })), fc.boolean(), (steps, limit, isDescending) => {
      const query = { table: "t", order: isDescending ? "rank.desc,id" : "rank,id", ...(limit === null ? {} : { limit }) }
      const listShape = shapeOf(query, limit)
      const compare = compareBy(query.order)!
      const table = new Map<number, Row>()
      const truth = () => [...table.values()].sort(compare).slice(0, limit ?? Infinity)
      let rows: readonly Row[] = []
      for (const { op, id, rank } of steps) {
        const isThere = table.has(id)
        if (op === "delete" && !isThere) continue
        const row = { id, rank }
        if (op === "delete") table.delete(id)
        else table.set(id, row)
        const told = op === "delete" ? event("DELETE", { old: { id } }) : event(isThere ? "UPDATE" : "INSERT", { new: row, old: isThere ? { id } : {} })
        const applied = applyChange(rows, told, listShape)
        rows = applied.mustReload ? truth() : applied.rows
        expect(rows).toEqual(truth())
        if (limit === null) expect(applied.mustReload).toBe(false)
      }
    }), { numRuns: 500 })
  })
})

describe("a query", () => {
  it("says the same to the data API and to the channel", () => {
    const query = { table: "a b", select: ["title"], filter: 'city=in.(Oslo,"Paris, TX"),name=eq."say \\"hi\\"",n=not.gt.5', order: "n.desc", limit: 3 }
    const url = new URL(`http://x${pathOf(query)}`)
    expect(url.pathname).toBe("/a%20b")
    expect([...url.searchParams]).toEqual([
      ["select", "title,id"], ["city", 'in.(Oslo,"Paris, TX")'], ["name", 'eq.say "hi"'], ["n", "not.gt.5"], ["order", "n.desc"], ["limit", "3"],
    ])
    expect(bindingOf(query, true)).toEqual({
      event: "*", schema: "public", table: "a b", filter: query.filter, select: ["title", "id"], moves: true, truncate: true,
    })
  })

  it("splits where the server does", () => {
    expect(splitFilter("")).toEqual([])
    expect(splitFilter('size=eq.5",b=eq.1')).toEqual(['size=eq.5"', "b=eq.1"])
    expect(splitFilter('a=eq."x,y",b=in.(1,2)')).toEqual(['a=eq."x,y"', "b=in.(1,2)"])
  })

  it("orders nulls as Postgres does", () => {
    const rows = [{ n: 1 }, { n: null }, { n: 2 }]
    const sorted = (order: string) => [...rows].sort(compareBy(order)!).map((row) => row.n)
    expect(sorted("n")).toEqual([1, 2, null])
    expect(sorted("n.desc")).toEqual([null, 2, 1])
    expect(sorted("n.desc.nullslast")).toEqual([2, 1, null])
    expect(sorted("n.asc.nullsfirst")).toEqual([null, 1, 2])
  })
})
