import { describe, expect, it } from "vitest"

import { layoutOf } from "../src/histogram_layout.ts"

const BOUNDS = [1, 2, 4, 8, 16, 32, 64, 128] // each step twice the one before
const counts = (...given: number[]): number[] => BOUNDS.map((_, step) => given[step] ?? 0)
const layout = (given: number[], marks: { label: string; at: number }[] = [], shownUpTo = 10) =>
  layoutOf({ bounds: BOUNDS, counts: given }, marks, shownUpTo)

describe("a histogram", () => {
  it("stands still while what is counted stays within what is shown, and grows where it does not", () => {
    expect([layout(counts()).steps, layout(counts(1, 2)).steps, layout(counts(0, 0, 0, 0, 1)).steps]).toEqual([5, 5, 5])
    expect([layout(counts(0, 0, 0, 0, 0, 0, 1)).steps, layout(counts(), [], 1e9).steps]).toEqual([7, 8])
  })

  it("has a bar for each step with something in it, and none so low that it cannot be seen", () => {
    const { bars, total } = layout(counts(0, 1000, 0, 1))
    expect(bars).toEqual([{ step: 1, height: 1 }, { step: 3, height: 0.02 }])
    expect(total).toBe(1001)
  })

  it("puts marks where their values are: at the end of the step that ends there", () => {
    const at = (value: number) => layout(counts(1), [{ label: "p", at: value }]).marks[0]!.place
    expect([at(1), at(2), at(16)]).toEqual([1 / 5, 2 / 5, 1])
    expect(at(Math.SQRT2 * 2)).toBeCloseTo(2.5 / 5)
    expect([at(0.5), at(1e6)]).toEqual([1 / 5, 1])
  })

  it("has ticks at powers of ten", () => {
    expect(layout(counts(), [], 128).ticks.map(({ at }) => at)).toEqual([1, 10, 100])
  })

  it("says between what most of them are", () => {
    expect(layout(counts()).most).toBeNull()
    expect(layout(counts(5)).most).toEqual([0, 1])
    expect(layout(counts(1, 10, 10, 1)).most).toEqual([1, 4])
    expect(layout(counts(0, 0, 1, 3, 0, 0, 0, 1)).most).toEqual([2, 8])
  })

  it("counts as many as it was given", () => {
    for (let round = 0; round < 200; round += 1) {
      const given = BOUNDS.map((_, step) => (round * 7919 * (step + 1)) % 5)
      const { most, bars } = layout(given)
      expect(bars).toHaveLength(given.filter((number) => number > 0).length)
      if (most) {
        const within = given.filter((_, step) => BOUNDS[step]! > most[0] && BOUNDS[step]! <= most[1])
        const sum = (numbers: number[]): number => numbers.reduce((one, other) => one + other, 0)
        expect(sum(within)).toBeGreaterThanOrEqual(0.75 * sum(given))
      }
    }
  })
})
