import { describe, expect, it } from "vitest"

import { Bindings } from "../src/wire/bindings.ts"

const wish = (table: string) => ({ event: "*", schema: "public", table })
const reply = (ids: number[], more = {}) => ({ postgres_changes: ids.map((id) => ({ id })), ...more })
const change = (ids: number[], position: string) => ({
  ids, data: { schema: "public", table: "t", type: "INSERT", commit_timestamp: "", columns: [], errors: null, record: { id: 1 }, position },
})

describe("bindings", () => {
  it("goes on each from its own last change", () => {
    const bindings = new Bindings([wish("a"), wish("b")])
    expect(bindings.live(reply([7, 8], { position: "e.1.0" }))).toBeNull()
    expect(bindings.take(change([8], "e.5.0"))?.bindings).toEqual([1])
    expect(bindings.asked().map((asked) => asked["after"])).toEqual(["e.1.0", "e.5.0"])
    expect(bindings.live(reply([7, 8], { recovered: true, position: "e.1.0" }))).toBeNull()
    expect(bindings.take(change([7, 8], "e.3.0"))?.bindings).toEqual([0])
    expect(bindings.take(change([7, 8], "e.6.0"))?.bindings).toEqual([0, 1])
  })

  it("comes on without any change, in place of what it had", () => {
    const bindings = new Bindings([wish("a"), wish("b")])
    bindings.live(reply([7, 8], { position: "e.1.0" }))
    bindings.take(change([8], "e.5.0"))
    bindings.reached("e.9.ffffffff")
    expect(bindings.asked().map((asked) => asked["after"])).toEqual(["e.9.ffffffff", "e.9.ffffffff"])
    expect(bindings.take(change([7, 8], "e.9.3"))).toBeNull()
    expect(bindings.take(change([7, 8], "e.a.0"))?.bindings).toEqual([0, 1])
  })

  it("drops what it was told before, and what is for nobody", () => {
    const bindings = new Bindings([wish("a")])
    bindings.live(reply([7], { position: "e.1.0" }))
    expect(bindings.take(change([7], "e.2.0"))).not.toBeNull()
    expect(bindings.take(change([7], "e.2.0"))).toBeNull()
    expect(bindings.take(change([7], "e.1.5"))).toBeNull()
    expect(bindings.take(change([9], "e.9.0"))).toBeNull()
  })

  it.each([
    [{ recovered: false, reason: "too long ago", position: "e.9.0" }, "too long ago"],
    [{}, "the server keeps no past"],
  ])("tells of a gap after %j", (more, reason) => {
    const bindings = new Bindings([wish("a")])
    bindings.live(reply([7], { position: "e.1.0" }))
    const position = "position" in more ? more.position : null
    expect(bindings.live(reply([7], more))).toEqual({ reason, position })
    expect(bindings.asked()[0]?.["after"]).toBe(position ?? undefined)
  })

  it("tells of a gap when it never had a place to come back to", () => {
    const bindings = new Bindings([wish("a")])
    expect(bindings.live(reply([7]))).toBeNull()
    expect(bindings.live(reply([7], { position: "e.1.0" }))).toEqual({ reason: "the server keeps no past", position: "e.1.0" })
  })
})
