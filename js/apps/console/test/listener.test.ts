import { describe, expect, it } from "vitest"

import { ApiError } from "../src/api.ts"
import { Listener, type Minted } from "../src/inspector/listener.ts"
import type { Plan } from "../src/inspector/reading.ts"

const PLAN: Plan = { reader: { role: "anon", user: null, claims: {} }, topic: { name: "room", isPrivate: false }, table: null }

describe("a listener without a token", () => {
  it("says why there is none", async () => {
    const refused = new ApiError(422, { code: "ConfigurationError", message: "no key", hint: "set one" })
    const listener = new Listener(() => Promise.reject(refused))
    const phases: string[] = []
    const stop = listener.subscribe(() => phases.push(listener.getSnapshot().phase))
    await listener.start(PLAN)
    expect(listener.getSnapshot()).toMatchObject({ phase: "idle", problem: { message: "no key", hint: "set one" }, topic: null })
    expect(phases.slice(-2)).toEqual(["starting", "idle"])
    stop()
  })

  it("has nothing to do with a token that comes after it was stopped", async () => {
    let bring: (minted: Minted) => void = () => undefined
    const listener = new Listener(() => new Promise((resolve) => (bring = resolve)))
    const started = listener.start(PLAN)
    expect(listener.getSnapshot().phase).toBe("starting")
    listener.stop()
    bring({ access_token: "late" })
    await started
    expect(listener.getSnapshot()).toMatchObject({ phase: "idle", problem: null })
  })
})
