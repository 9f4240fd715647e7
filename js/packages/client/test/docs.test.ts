import { readdirSync, readFileSync } from "node:fs"

import { describe, expect, it } from "vitest"

import * as exported from "../src/index.ts"
import { TIMING } from "../src/machine/timing.ts"

const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8")
const sources = readdirSync(new URL("../src", import.meta.url), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => read(`../src/${name}`))
  .join("\n")
const reference = read("../../../../docs/reference/javascript-client.md")

describe("the documentation", () => {
  it("has every name that is exported, and names nothing else as a function or class", () => {
    const api = read("../API.md")
    const types = [...read("../src/index.ts").matchAll(/(\w+)(?=,? *(?:\}|,|\n))/g)].map(([name]) => name)
    for (const name of [...Object.keys(exported), ...types]) expect(api, name).toContain(name)
    for (const [, name = ""] of api.matchAll(/^(?:export )?(?:function|class|const) (\w+)/gm)) expect(exported).toHaveProperty(name)
  })

  it("explains every time", () => {
    for (const name of Object.keys(TIMING)) expect(reference, name).toContain(`\`${name}\``)
  })

  it("explains every error", () => {
    const codes = new Set([...sources.matchAll(/(?:new TidewireError|failure)\(\s*"(\w+)"/g)].map(([, code]) => code))
    expect(codes.size).toBeGreaterThan(10)
    for (const code of codes) expect(reference, code).toContain(`\`${code}\``)
  })
})
