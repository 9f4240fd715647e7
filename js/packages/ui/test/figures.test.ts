import { describe, expect, it } from "vitest"

import { age, bytes, count, joined, milliseconds, rate } from "../src/format.ts"
import { pathOf } from "../src/sparkline.tsx"

describe("figures", () => {
  it.each([
    [count(0), "0"],
    [count(99_999), "99,999"],
    [count(1_234_567), "1.2M"],
    [rate(0.25), "0.3"],
    [rate(12.4), "12"],
    [joined(bytes(null)), "–"],
    [joined(bytes(0)), "0 B"],
    [joined(bytes(1023)), "1,023 B"],
    [joined(bytes(1536)), "1.5 KiB"],
    [joined(bytes(5 * 1024 ** 3)), "5 GiB"],
    [joined(milliseconds(null)), "–"],
    [joined(milliseconds(0.42)), "0.4 ms"],
    [joined(milliseconds(180)), "180 ms"],
    [joined(milliseconds(2500)), "2.5 s"],
    [age(-3), "0 s"],
    [age(59.9), "59 s"],
    [age(61), "1 min"],
    [age(3700), "1 h 1 min"],
    [age(90_000), "1 d 1 h"],
  ])("%s", (said, expected) => expect(said).toBe(expected))
})

describe("a sparkline", () => {
  it("leaves a gap where nothing is known", () => {
    expect(pathOf([1, 2, null, 2, 1]).stroke.match(/M/g)).toHaveLength(2)
  })

  it("draws nothing of nothing, and of a single value", () => {
    expect([pathOf([]).stroke, pathOf([3]).stroke, pathOf([null]).area]).toEqual(["", "", ""])
  })

  it("has its highest value at the top", () => {
    expect(pathOf([0, 4]).stroke).toBe("M0.0 30.0L100.0 0.0")
  })
})
