import { describe, expect, it } from "vitest"

import { ApiError } from "../src/api.ts"
import { add, MOST_BYTES, MOST_FRAMES, NO_FRAMES, ofBroadcast, ofChange } from "../src/inspector/frames.ts"
import { blame, bodyOf, isAbout, readPlan, readQuestion, without } from "../src/inspector/reading.ts"
import { tableRemedy, topicRemedy } from "../src/inspector/refusals.ts"
import { list, type PolicyVerdict, tell, type Verdict } from "../src/inspector/verdict.ts"
import { EMPTY, MOST_LINK_CHARS, readLink, type Wish, writeLink } from "../src/inspector/wish.ts"

const WISH: Wish = { ...EMPTY, table: "orders", row: '{"id": 9007199254740993}', user: " ada ", claims: '{"team": 3}' }

function question(wish: Wish = WISH) {
  const reading = readQuestion(wish)
  if ("problems" in reading) throw new Error(JSON.stringify(reading.problems))
  return reading.read
}

function plan(wish: Partial<Wish>) {
  const reading = readPlan({ ...EMPTY, ...wish })
  if ("problems" in reading) throw new Error(JSON.stringify(reading.problems))
  return reading.read
}

const wrong = (reading: object) => ("problems" in reading ? Object.keys(reading.problems as object) : [])

describe("a link", () => {
  it("brings back what was filled in, and says nothing of what was not", () => {
    const wish: Wish = { ...WISH, wanted: "DELETE", moves: true, topic: "a&b=c#d", isPrivate: true, event: "UPDATE", old: "{}" }
    expect(readLink(writeLink("listen", wish))).toEqual({ view: "listen", wish })
    expect(writeLink("why", EMPTY)).toBe("#view=why")
  })

  it("leaves out what is too long for one", () => {
    const long = readLink(writeLink("why", { ...WISH, row: "x".repeat(MOST_LINK_CHARS + 1) }))
    expect(long).toEqual({ view: "why", wish: { ...WISH, row: "" } })
  })

  it("may be something else, or made up", () => {
    expect([readLink("#main"), readLink(""), readLink("#view=else")]).toEqual([null, null, null])
    expect(readLink("#view=why&wanted=EVERYTHING&event=x&moves=1")?.wish).toEqual(EMPTY)
  })
})

describe("a question", () => {
  it("has the row as it was written: a bigint stays what it is", () => {
    const body = bodyOf(question())
    expect(body).toContain('"record":{"id": 9007199254740993}')
    expect(JSON.parse(body)).toMatchObject({ schema: "public", table: "orders", role: "authenticated", user: "ada", claims: { team: 3 }, wanted: "*" })
    expect(body).not.toContain("old_record")
    expect(JSON.parse(bodyOf(question({ ...WISH, table: "shop.orders", user: "", select: "id, status," })))).toMatchObject({
      schema: "shop", table: "orders", user: null, select: ["id", "status"],
    })
  })

  it("has the row before only of an update", () => {
    const old = '{"id": 1}'
    expect(bodyOf(question({ ...WISH, old, event: "UPDATE" }))).toContain('"old_record":{"id": 1}')
    expect(bodyOf(question({ ...WISH, old }))).not.toContain("old_record")
    expect(wrong(readQuestion({ ...WISH, old: "no", event: "UPDATE" }))).toEqual(["old"])
  })

  it("is refused beside each field, with a remedy", () => {
    const reading = readQuestion({ ...EMPTY, role: " ", claims: "[]" })
    expect(wrong(reading)).toEqual(["role", "claims", "table", "row"])
    for (const problem of Object.values("problems" in reading ? reading.problems : {})) expect(problem.remedy).not.toBe("")
    for (const row of ["[]", "7", "null", "{", '"text"']) expect(wrong(readQuestion({ ...WISH, row }))).toEqual(["row"])
    expect(wrong(readQuestion({ ...WISH, table: "*" }))).toEqual(["table"])
    expect(without({ row: { message: "", remedy: "" }, role: { message: "", remedy: "" } }, ["row", "table"])).toEqual({ role: { message: "", remedy: "" } })
  })

  it("is another one once it would be answered otherwise", () => {
    expect(isAbout(question(), { ...WISH, topic: "else", user: "ada" })).toBe(true)
    expect(isAbout(question(), { ...WISH, filter: "id=eq.1" })).toBe(false)
    expect(isAbout(question(), { ...WISH, row: "" })).toBe(false)
  })

  it("is refused by the server for a field where that can be told", () => {
    const said = (message: string, hint = "") => blame(new ApiError(422, { code: "ConfigurationError", message, hint }))
    expect(Object.keys(said("reading a row: expected a JSON object, got something else") ?? {})).toEqual(["row"])
    expect(Object.keys(said("minting a token: expected claims of your own, got role") ?? {})).toEqual(["claims"])
    expect(Object.keys(said("minting a token: no", "name a role of the database") ?? {})).toEqual(["role"])
    expect(said("something else")).toBeNull()
  })
})

describe("a plan", () => {
  it("is for a topic, a table, or both", () => {
    expect(plan({ topic: "realtime:room" })).toMatchObject({ topic: { name: "room", isPrivate: false }, table: null })
    expect(plan({ table: "shop.orders", filter: "id=eq.1", select: "id", moves: true, wanted: "UPDATE" }).table).toEqual({
      name: "orders", options: { schema: "shop", event: "UPDATE", filter: "id=eq.1", select: ["id"], moves: true },
    })
    expect(plan({ table: "orders" }).table?.options).toEqual({ schema: "public", event: "*" })
    expect(wrong(readPlan(EMPTY))).toEqual(["topic"])
    expect(wrong(readPlan({ ...EMPTY, topic: "room", filter: "id=eq.1" }))).toEqual(["table"])
  })
})

describe("a verdict", () => {
  const yes = { ok: true, reason: "" }
  const no = (reason: string) => ({ ok: false, reason })
  const fine: Verdict = {
    delivered: true, told_as: "INSERT", columns: null, errors: [], publication: yes, wish: yes, privilege: yes,
    policies_bind: false, policies: [], filter: yes, assumed_null: [],
  }
  const policy = (answer: PolicyVerdict["answer"], permissive = true, name = "own"): PolicyVerdict => ({
    name, permissive, answer, command: "r", expression: "true", judged_by: "compiled", why: "", sqlstate: answer === "error" ? "22012" : null,
  })
  const hidden = (change: Partial<Verdict>) => tell({ ...fine, delivered: false, told_as: null, ...change }, question()).sentence
  const bound = (...policies: PolicyVerdict[]) => hidden({ policies_bind: true, policies })

  it("says that it arrives, and as what", () => {
    const told = tell(fine, question())
    expect([told.arrives, told.sentence]).toEqual([true, "It arrives as INSERT."])
    expect(told.lines.map(({ outcome, remedy }) => [outcome, remedy])).toEqual(Array(5).fill(["passed", ""]))
    expect(tell({ ...fine, columns: ["id", "title", "at"] }, question()).sentence).toBe("It arrives as INSERT, with no columns but id, title and at.")
    expect(tell({ ...fine, errors: ["Error 401: Unauthorized"] }, question()).sentence).toContain("an error in place of the row: Error 401")
    const admitted = tell({ ...fine, policies_bind: true, policies: [policy("true"), policy("false", true, "b"), policy("true", true, "c")] }, question())
    expect(admitted.lines.find(({ id }) => id === "policies")?.text).toBe("“own” and “c” admit it.")
  })

  it("says why it does not", () => {
    expect(hidden({ publication: no("it is not published"), wish: null, privilege: null, policies_bind: null, filter: null })).toBe(
      "It does not arrive, because it is not published.",
    )
    expect(hidden({ privilege: no("anon may not SELECT from public.orders") })).toContain("because anon may not SELECT")
    expect(bound(policy("false"))).toBe("It does not arrive, because the policy “own” is false.")
    expect(bound(policy("false"), policy("unknown"))).toContain("because none of 2 permissive policies is true")
    expect(bound(policy("true"), policy("unknown", false, "limit"))).toContain("the restrictive policy “limit” is unknown")
    expect(bound(policy("true"), policy("error", false, "broken"))).toContain("Postgres fails with the policy “broken” (22012)")
    expect(bound()).toContain("no policy admits authenticated")
    expect(bound(policy("true", false))).toContain("no policy admits authenticated")
    expect(hidden({ filter: no("the filter is not true") })).toBe("It does not arrive, because the filter is not true.")
    expect(hidden({ policies_bind: true, policies: [policy("false")], filter: no("the filter is not true") })).toBe(
      "It does not arrive, because the policy “own” is false and the filter is not true.",
    )
    expect(hidden({})).toContain("no step says why: the table may just have been changed")
  })

  it("has a remedy for each step that failed, and says of none that it passed unseen", () => {
    const told = tell({ ...fine, delivered: false, publication: no("a"), wish: no("b"), privilege: no("c"), policies_bind: true, filter: no("d") }, question())
    for (const { outcome, remedy } of told.lines) expect([outcome, remedy === ""]).toEqual(["failed", false])
    const unseen = tell({ ...fine, delivered: false, publication: no("a"), wish: null, privilege: null, policies_bind: null, filter: null }, question())
    expect(unseen.lines.map(({ outcome }) => outcome)).toEqual(["failed", "skipped", "skipped", "skipped", "skipped"])
  })

  it("is written as people write", () => expect([list([]), list(["a"]), list(["a", "b"]), list(["a", "b", "c"])]).toEqual(["", "a", "a and b", "a, b and c"]))
})

describe("frames", () => {
  const change = (more: object = {}) =>
    ofChange({ eventType: "INSERT", new: { id: 1 }, old: {}, schema: "public", table: "t", commit_timestamp: "2026-01-01T00:00:00.500Z", errors: null, position: null, moved: null, ...more }, Date.UTC(2026, 0, 1, 0, 0, 1))

  it("have the newest first, each with its number, and 500 at most", () => {
    let frames = NO_FRAMES
    for (let turn = 0; turn < 300; turn += 1) frames = add(frames, [change(), change()])
    expect([frames.total, frames.shown.length, frames.shown[0]?.number, frames.shown.at(-1)?.number]).toEqual([600, MOST_FRAMES, 600, 101])
    expect(frames.bytes).toBe(frames.shown.reduce((sum, { bytes }) => sum + bytes, 0))
  })

  it("are fewer where they are large, and one however large", () => {
    const large = (size: number) => ofBroadcast({ event: "e", payload: "x".repeat(size), meta: null }, "room", 0)
    const third = large(MOST_BYTES / 3)
    expect(add(NO_FRAMES, [third, third, third, third]).shown.map(({ number }) => number)).toEqual([4, 3])
    expect(add(NO_FRAMES, [third, large(MOST_BYTES * 2)]).shown.map(({ number }) => number)).toEqual([2])
  })

  it("say how long after the commit they came, where there is one", () => {
    expect([change().delayMs, change({ commit_timestamp: "" }).delayMs]).toEqual([500, null])
    expect(change({ moved: "in" }).event).toBe("INSERT, moved in")
    const raw = ofBroadcast({ event: "e", payload: new Uint8Array(3), meta: null }, "room", 0)
    expect([raw.delayMs, JSON.parse(raw.json)]).toEqual([null, { event: "e", payload: "3 bytes" }])
  })
})

describe("a refusal", () => {
  it("comes with what helps", () => {
    expect(tableRemedy("Unable to subscribe to changes with given parameters. Please check Realtime is enabled for")).toContain("tidewire publish")
    expect(tableRemedy("… ERROR P0001 (raise_exception) invalid column for filter x")).toContain("a column of the table")
    expect(tableRemedy('ERROR 42704 (undefined_object) role "x" does not exist')).toContain("role of the database")
    expect(tableRemedy("news")).toContain("reference")
    expect(topicRemedy("Unauthorized: You do not have permissions to read from this Channel topic: x", "anon", { isPrivate: true })).toContain("true for anon")
    expect(topicRemedy("PrivateOnly: This project only allows private channels", "anon", { isPrivate: false })).toContain("Only private channels")
    expect(topicRemedy("Unauthorized: feeds", "anon", { isPrivate: false })).toContain("as a private channel")
  })
})
