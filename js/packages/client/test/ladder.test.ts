import { describe, expect, it } from "vitest"

import { Ladder } from "../src/machine/ladder.ts"
import { TIMING } from "../src/machine/timing.ts"

const ladder = () => new Ladder(["websocket", "sse", "longpoll"], TIMING)

describe("the order of transports", () => {
  it("goes down where the transport is to blame, and begins again after the last", () => {
    const steps = ladder()
    expect([steps.failed("unclear"), steps.current]).toEqual([true, "sse"])
    expect([steps.failed("silent"), steps.current]).toEqual([true, "longpoll"])
    expect([steps.failed("silent"), steps.current]).toEqual([false, "websocket"])
  })

  it("does not go further down where plain HTTP cannot reach the server, or is refused by it", () => {
    for (const failure of ["unreachable", "refused", "later"] as const) {
      const steps = ladder()
      steps.failed("unclear")
      expect([steps.failed(failure), steps.current]).toEqual([false, "websocket"])
    }
  })

  it("gives up what has worked only after three failures", () => {
    const steps = ladder()
    steps.worked()
    expect([steps.failed("unclear"), steps.failed("unclear"), steps.failed("unclear")]).toEqual([false, false, true])
    expect(steps.current).toBe("sse")
  })

  it("remembers what worked", () => {
    const steps = ladder()
    steps.failed("unclear")
    steps.worked()
    expect([steps.failed("unreachable"), steps.current]).toEqual([false, "sse"])
    expect(steps.upgradeAt(0)).toBe(TIMING.upgradeMs)
    steps.tried(true)
    expect([steps.current, steps.upgradeAt(0)]).toEqual(["websocket", null])
  })
})
