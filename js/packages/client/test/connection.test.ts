import fc from "fast-check"
import { describe, expect, it } from "vitest"

import { ConnectionMachine } from "../src/machine/connection.ts"
import type { ConnectionEvent } from "../src/machine/connection_table.ts"
import { TIMING } from "../src/machine/timing.ts"
import type { TransportName } from "../src/types.ts"

const ALL: readonly TransportName[] = ["websocket", "sse", "longpoll"]

class Bench {
  now = 1_000_000
  readonly machine: ConnectionMachine
  constructor(random = 0.5, transports = ALL) {
    this.machine = new ConnectionMachine(transports, TIMING, () => random)
  }
  do(event: ConnectionEvent | "opened" | "heard" | "answered" | "want" | "unwant" | "online" | "offline" | "visible" | "hidden" | "reconnect" | "close"): string[] {
    const effects = this.machine.receive(typeof event === "string" ? { type: event } : event, this.now)
    return effects.map((effect) => ("transport" in effect ? `${effect.type} ${effect.transport}` : effect.type))
  }
  fail(failure: Extract<ConnectionEvent, { type: "ended" }>["failure"]): string[] {
    return this.do({ type: "ended" as const, failure, detail: "" })
  }
  /** Let time pass up to the machine's own deadline. */
  wait(): string[] {
    this.now = this.machine.deadline ?? this.now
    return this.do({ type: "tick" })
  }
  live(): this {
    this.do("want")
    this.do("opened")
    this.do("answered")
    return this
  }
}

describe("a connection", () => {
  it("opens when it is wanted, beats at once, lets channels join, and is live once something came", () => {
    const bench = new Bench()
    expect(bench.do("want")).toEqual(["open websocket"])
    expect(bench.do("opened")).toEqual(["beat", "up"])
    expect(bench.machine.state).toBe("proving")
    bench.now += 40
    bench.do("answered")
    expect([bench.machine.state, bench.machine.rttMs, bench.machine.reason]).toEqual(["live", 40, null])
  })

  it("notices a black hole within ten seconds, whenever it begins", () => {
    const bench = new Bench().live()
    const began = bench.now // right after an answer: the latest moment
    expect(bench.wait()).toEqual(["beat"])
    expect(bench.wait()).toEqual(["hangUp", "down"])
    expect(bench.now - began).toBeLessThanOrEqual(10_000)
    expect([bench.machine.state, bench.machine.reason]).toEqual(["waiting", "silent"])
  })

  it("waits with full jitter that doubles, up to a limit", () => {
    const pauses = Array.from({ length: 9 }, () => 0)
    const bench = new Bench(1, ["websocket"]).live()
    for (const [turn] of pauses.entries()) {
      bench.fail("unclear")
      pauses[turn] = bench.machine.retryAt! - bench.now
      bench.wait()
    }
    expect(pauses).toEqual([500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000, 10_000])
    const lucky = new Bench(0, ["websocket"]).live()
    lucky.fail("unclear")
    expect(lucky.machine.retryAt).toBe(lucky.now)
  })

  it("does not besiege a server that lets it in and hangs up", () => {
    const bench = new Bench(1, ["websocket"]).live()
    for (let turn = 0; turn < 5; turn += 1) {
      bench.fail("unclear")
      bench.wait()
      bench.do("opened")
      bench.do("answered")
      expect(bench.machine.attempt).toBe(0)
    }
    bench.fail("unclear")
    expect(bench.machine.retryAt! - bench.now).toBe(10_000)
  })

  it("comes back much later when the server has too much to do", () => {
    const bench = new Bench(0).live()
    bench.fail("later")
    expect(bench.machine.retryAt! - bench.now).toBe(15_000)
  })

  it("does not wait any more once the network is back, or the page is seen", () => {
    for (const event of ["online", "visible", "reconnect"] as const) {
      const bench = new Bench(1).live()
      bench.fail("unclear")
      expect(bench.do(event)).toEqual(["open websocket"])
    }
  })

  it("comes back in a hidden page as well", () => {
    const bench = new Bench().live()
    bench.do("hidden")
    bench.fail("unclear")
    expect(bench.wait()).toEqual(["open websocket"])
  })

  it("asks with a heartbeat when the browser says that it is offline, and believes the answer", () => {
    const bench = new Bench().live()
    expect(bench.do("offline")).toEqual(["beat"])
    bench.do("answered")
    expect(bench.machine.state).toBe("live")
    expect(bench.do("offline")).toEqual(["beat"])
    bench.wait()
    expect([bench.machine.state, bench.machine.reason]).toEqual(["waiting", "offline"])
  })

  it("stays for a while after nobody wants it", () => {
    const bench = new Bench().live()
    bench.do("unwant")
    bench.do("want")
    bench.now += TIMING.lingerMs - 1
    expect(bench.do({ type: "tick" })).toEqual([])
    bench.do("unwant")
    bench.now += TIMING.lingerMs
    expect(bench.do({ type: "tick" })).toEqual(["hangUp", "down"])
    expect([bench.machine.state, bench.machine.deadline]).toEqual(["idle", null])
  })

  it("closes for good", () => {
    const bench = new Bench().live()
    expect(bench.do("close")).toEqual(["hangUp", "down"])
    expect(bench.do("want")).toEqual([])
    expect(bench.machine.reason).toBe("closed")
  })

  it("tries better transports beside the one that works, ever more rarely", () => {
    const bench = new Bench()
    bench.do("want")
    expect(bench.fail("unclear")).toEqual(["open sse"])
    bench.do("opened")
    bench.do("answered")
    const probedAfter: number[] = []
    for (let turn = 0; turn < 3; turn += 1) {
      const began = bench.now
      let done: string[] = []
      while (!done.includes("probe websocket")) {
        done = bench.wait()
        if (done.includes("beat")) bench.do("answered")
      }
      probedAfter.push(bench.now - began)
      bench.do({ type: "probed", isUsable: turn === 2 })
    }
    expect(probedAfter).toEqual([60_000, 120_000, 240_000])
    expect([bench.machine.state, bench.machine.transport]).toEqual(["opening", "websocket"])
  })
})

const EVENTS: fc.Arbitrary<ConnectionEvent> = fc.oneof(
  fc.constantFrom(
    "want", "unwant", "opened", "heard", "answered", "tick", "reconnect", "online", "offline", "visible", "hidden",
  ).map((type) => ({ type })),
  fc.constantFrom("unclear", "silent", "unusable", "unreachable", "refused", "later").map((failure) => ({ type: "ended" as const, failure, detail: "" })),
  fc.boolean().map((isUsable) => ({ type: "probed" as const, isUsable })),
)

describe("whatever happens", () => {
  it("channels are told of up and down in turns, and a wanted connection is never forgotten", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(EVENTS, fc.nat(20_000)), { maxLength: 60 }), fc.double({ min: 0, max: 1, noNaN: true }), (events, random) => {
        const machine = new ConnectionMachine(ALL, TIMING, () => random)
        let now = 0
        let isUp = false
        let isWanted = false
        for (const [event, pauseMs] of events) {
          now += pauseMs
          if (event.type === "want" || event.type === "unwant") {
            if (isWanted === (event.type === "want")) continue
            isWanted = !isWanted
          }
          for (const effect of machine.receive(event, now)) {
            if (effect.type !== "up" && effect.type !== "down") continue
            expect(isUp).toBe(effect.type === "down")
            isUp = effect.type === "up"
          }
          expect(machine.isUp).toBe(isUp)
          // Somebody wants it: either it is there, or the machine knows when to go on.
          if (isWanted) expect(machine.state === "idle" || machine.deadline === null).toBe(false)
          expect(machine.retryAt !== null).toBe(machine.state === "waiting")
        }
      }),
      { numRuns: 500 },
    )
  })
})
