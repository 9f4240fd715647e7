import type { ConnectionStatus as Status } from "@tidewire/client"
import { act, cleanup, render, screen } from "@testing-library/react"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"

import { ConnectionStatus } from "../src/connection_status.tsx"
import { DataTable } from "../src/data_table.tsx"
import { PauseButton, usePausable } from "../src/pause.tsx"

const animated: HTMLElement[] = []

beforeEach(() => {
  animated.length = 0
  vi.stubGlobal("matchMedia", () => ({ matches: false }))
  Element.prototype.animate = function animate(this: HTMLElement) {
    animated.push(this)
    return {} as Animation
  }
})

afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

interface Row {
  readonly id: number
  readonly name: string
}

const table = (rows: readonly Row[]) => (
  <DataTable caption="Rows" columns={[{ id: "name", header: "Name", cell: ({ name }: Row) => name }]} rows={rows} keyOf={({ id }) => id} empty="none" />
)

describe("a live table", () => {
  it("tints what came and what changed, and not what was there", () => {
    const [one, two] = [{ id: 1, name: "one" }, { id: 2, name: "two" }]
    const { rerender } = render(table([one, two]))
    expect(animated).toHaveLength(0)
    rerender(table([one, { ...two, name: "other" }, { id: 3, name: "three" }]))
    expect(animated.map((row) => row.textContent)).toEqual(["other", "three"])
  })

  it("draws no row again that has not changed", () => {
    const drawn: number[] = []
    const columns = [{ id: "name", header: "Name", cell: ({ id, name }: Row) => (drawn.push(id), name) }]
    const shown = (rows: readonly Row[]) => <DataTable caption="Rows" columns={columns} rows={rows} keyOf={({ id }) => id} empty="none" />
    const one = { id: 1, name: "one" }
    const { rerender } = render(shown([one]))
    rerender(shown([{ id: 2, name: "two" }, one]))
    expect(drawn).toEqual([1, 2])
  })

  it("says that it is empty", () => {
    render(table([]))
    expect(screen.queryByRole("table")).toBeNull()
    expect(screen.getByText("none")).toBeTruthy()
  })
})

describe("the connection status", () => {
  const status = (state: Status["state"], reason: Status["reason"] = null): Status => ({
    state, reason, detail: null, since: 0, attempt: 0, nextRetryAt: null, transport: null, rttMs: null,
    channels: { joined: 0, wanted: 1 }, refused: [],
  })

  it.each([
    [status("connected"), "Live", "good"],
    [status("partial", "refused"), "Partly live", "warn"],
    [status("connecting"), "Connecting", "warn"],
    [status("disconnected", "unreachable"), "Disconnected", "bad"],
    [status("disconnected", "idle"), "Idle", "plain"],
  ])("has a word and a colour: %#", (given, label, tone) => {
    const { container } = render(<ConnectionStatus status={given} onReconnect={() => undefined} />)
    expect(screen.getByRole("button").getAttribute("aria-label")).toBe(`Connection: ${label}`)
    expect(container.querySelector(".tw-dot")?.getAttribute("data-tone")).toBe(tone)
  })
})

describe("a pause", () => {
  function Counter({ value }: { readonly value: number }) {
    const { shown, isPaused, toggle } = usePausable(value)
    return <><output>{shown}</output><PauseButton isPaused={isPaused} toggle={toggle} /></>
  }

  it("holds what was shown, and then shows what is", () => {
    const { rerender } = render(<Counter value={1} />)
    const press = () => act(() => screen.getByRole("button").click())
    press()
    rerender(<Counter value={2} />)
    expect(screen.getByRole("status").textContent).toBe("1")
    press()
    expect(screen.getByRole("status").textContent).toBe("2")
  })
})
