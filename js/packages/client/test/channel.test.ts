import fc from "fast-check"
import { describe, expect, it } from "vitest"

import { ChannelMachine, type ChannelEvent } from "../src/machine/channel.ts"
import { TIMING } from "../src/machine/timing.ts"
import { comeBack } from "../src/wire/reasons.ts"

class Bench {
  now = 1_000_000
  readonly machine = new ChannelMachine(TIMING, () => 1)
  do(type: Exclude<ChannelEvent["type"], "ended">): string[] {
    return this.machine.receive({ type }, this.now).map(show)
  }
  end(reason: string): string[] {
    return this.machine.receive({ type: "ended", reason, comeBack: comeBack(reason) }, this.now).map(show)
  }
  wait(): string[] {
    this.now = this.machine.deadline ?? this.now
    return this.do("tick")
  }
  joined(): this {
    for (const type of ["up", "want", "token", "accepted"] as const) this.do(type)
    expect(this.machine.state).toBe("joined")
    return this
  }
}

const show = (effect: ReturnType<ChannelMachine["receive"]>[number]): string =>
  effect.type === "needToken" && effect.fresh ? "needToken fresh" : effect.type

describe("a channel", () => {
  it("waits for a token before it joins", () => {
    const bench = new Bench()
    expect(bench.do("want")).toEqual([])
    expect(bench.do("up")).toEqual(["needToken"])
    expect(bench.do("token")).toEqual(["join"])
    expect(bench.do("accepted")).toEqual(["joined"])
  })

  it("joins again after every return of the connection", () => {
    const bench = new Bench().joined()
    bench.do("down")
    expect(bench.machine.state).toBe("away")
    expect(bench.do("up")).toEqual(["needToken"])
  })

  it("asks for another token at once when the first was refused, and then with pauses", () => {
    const bench = new Bench()
    for (const type of ["up", "want", "token"] as const) bench.do(type)
    expect(bench.end("InvalidJWTToken: Token has expired 3 seconds ago")).toEqual(["needToken fresh"])
    bench.do("token")
    expect(bench.end("InvalidJWTToken: Token has expired 3 seconds ago")).toEqual([])
    expect(bench.machine.state).toBe("waiting")
    expect(bench.wait()).toEqual(["needToken fresh"])
  })

  it("comes back with another token when the old one ran out", () => {
    expect(new Bench().joined().end("Token has expired 0 seconds ago")).toEqual(["needToken fresh"])
  })

  it("is refused when another token may not read it either, until somebody says so", () => {
    const bench = new Bench()
    for (const type of ["up", "want", "token"] as const) bench.do(type)
    const reason = "Unauthorized: You do not have permissions to read from this Channel topic: t"
    expect(bench.end(reason)).toEqual(["needToken fresh"])
    bench.do("token")
    expect(bench.end(reason)).toEqual(["refused"])
    expect([bench.do("down"), bench.do("up")]).toEqual([[], []])
    expect(bench.do("retry")).toEqual(["needToken"])
  })

  it.each([
    ["PrivateOnly: This project only allows private channels", "refused", 0],
    ["RealtimeDisabledForConfiguration: Unable to subscribe", "refused", 0],
    ["ClientJoinRateLimitReached: Too many joins per second", "waiting", 30_000],
    ["RealtimeRestarting: Realtime is restarting, please standby", "waiting", 500],
    ["something new", "waiting", 500],
  ])("takes %s for what it is", (reason, state, pauseMs) => {
    const bench = new Bench()
    for (const type of ["up", "want", "token"] as const) bench.do(type)
    bench.end(reason)
    expect([bench.machine.state, (bench.machine.deadline ?? bench.now) - bench.now]).toEqual([state, pauseMs])
  })

  it("leaves what it may have joined when the answer does not come", () => {
    const bench = new Bench()
    for (const type of ["up", "want", "token"] as const) bench.do(type)
    expect(bench.wait()).toEqual(["leave"])
    expect(bench.machine.state).toBe("waiting")
  })

  it("stays for a moment when nobody wants it, and is not joined again after that", () => {
    const bench = new Bench().joined()
    bench.do("unwant")
    expect(bench.machine.isLingering).toBe(true)
    bench.do("want")
    expect(bench.machine.isLingering).toBe(false)
    bench.do("unwant")
    expect(bench.wait()).toEqual(["leave"])
    const cut = new Bench().joined()
    cut.do("unwant")
    cut.do("down")
    expect(cut.machine.state).toBe("left")
  })
})

describe("whatever happens", () => {
  const events = fc.oneof(
    fc.constantFrom("up", "down", "token", "noToken", "accepted", "tick", "want", "unwant", "retry", "restart")
      .map((type) => ({ type })),
    fc.constantFrom("new_token", "permission", "soon", "later", "changed").map((help) => ({ type: "ended" as const, reason: "r", comeBack: help })),
  )

  it("it joins only while the connection is there, and a wanted channel is never forgotten", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(events, fc.nat(20_000)), { maxLength: 60 }), (given) => {
        const machine = new ChannelMachine(TIMING, () => 0.5)
        let now = 0
        let isUp = false
        let isWanted = false
        for (const [event, pauseMs] of given) {
          now += pauseMs
          if (event.type === "up" || event.type === "down") isUp = event.type === "up"
          if (event.type === "want") isWanted = true
          if (event.type === "unwant") isWanted = false
          for (const effect of machine.receive(event, now)) {
            if (effect.type === "join" || effect.type === "leave") expect(isUp).toBe(true)
          }
          if (isWanted) {
            expect(machine.state).not.toBe("left")
            if (isUp && machine.state !== "joined" && machine.state !== "refused") expect(machine.deadline).not.toBeNull()
          }
        }
      }),
      { numRuns: 500 },
    )
  })
})
