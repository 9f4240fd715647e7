import { describe, expect, it } from "vitest"

import { CHANNEL_TABLE } from "../src/machine/channel.ts"
import { CONNECTION_TABLE } from "../src/machine/connection_table.ts"

describe.each([
  ["connection", CONNECTION_TABLE],
  ["channel", CHANNEL_TABLE],
])("the table of a %s", (_, table: Record<string, Record<string, string>>) => {
  const rows = Object.entries(table)
  const events = Object.keys(rows[0]![1]).sort()

  it.each(rows)("answers every event in the state %s", (_state, row) => {
    expect(Object.keys(row).sort()).toEqual(events)
    expect(Object.values(row).every((action) => action.length > 0)).toBe(true)
  })

  it("reacts somewhere to every event", () => {
    for (const event of events) expect(rows.some(([, row]) => row[event] !== "ignore"), event).toBe(true)
  })
})
