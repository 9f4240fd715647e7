import { type ConnectionStatus, createClient, type Json, type TidewireClient } from "@tidewire/client"
import { act, cleanup, render, renderHook } from "@testing-library/react"
import { type ReactElement, type ReactNode, StrictMode, useEffect } from "react"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"

import { TidewireProvider, useBroadcast, useClient, useRealtimeConnection, useRealtimePresence, useRealtimeTable, useRows } from "../src/index.ts"
import { FakeServer } from "./fake_server.ts"

const TABLES = ["bookings", "users", "reviews", "disputes", "payments"]

let server: FakeServer
let client: TidewireClient

beforeEach(() => {
  server = new FakeServer()
  client = createClient("http://tide.test", {
    apikey: "key",
    WebSocket: server.WebSocket,
    transports: ["websocket"],
    page: server.page,
    timing: { leaveMs: 5, lingerMs: 5 },
    fetch: () => Promise.resolve(new Response('[{"id":1}]', { headers: { "tidewire-position": "history1.1.0" } })),
  })
})

afterEach(() => {
  cleanup()
  client.close()
})

function inStrictMode({ children }: { children: ReactNode }): ReactElement {
  return (
    <StrictMode>
      <TidewireProvider client={client}>{children}</TidewireProvider>
    </StrictMode>
  )
}

const status = (): ConnectionStatus => client.status.getSnapshot()
const joins = (count: number) => act(() => vi.waitFor(() => expect([server.joined.size, status().channels.joined]).toEqual([count, count])))
const tell = (what: () => void) => act(what)

describe("one connection", () => {
  function Follower({ table, heard }: { table: string; heard: (table: string) => void }): null {
    useRealtimeTable(table, () => heard(table))
    return null
  }

  it("serves twenty hooks on five tables, and each of them hears", async () => {
    const heard: string[] = []
    render(
      <>
        {Array.from({ length: 20 }, (_, number) => (
          <Follower key={number} table={TABLES[number % 5]!} heard={(table) => heard.push(table)} />
        ))}
      </>,
      { wrapper: inStrictMode },
    )
    await joins(5)
    tell(() => TABLES.forEach((table, id) => server.change(table, { id })))
    expect([server.opened, server.sockets.size]).toEqual([1, 1])
    expect(TABLES.map((table) => heard.filter((each) => each === table).length)).toEqual([4, 4, 4, 4, 4])
  })

  it("is left with nothing after 500 components have come and gone", async () => {
    function Everything(): null {
      useRealtimeTable("bookings", () => undefined)
      useRealtimePresence("lobby", "ada", { mood: "calm" })
      useBroadcast("news", "*", () => undefined)
      useRows({ table: "users" })
      useRealtimeConnection()
      return null
    }
    for (let cycle = 0; cycle < 500; cycle += 1) render(<Everything />, { wrapper: inStrictMode }).unmount()
    expect(server.opened).toBeLessThanOrEqual(1)
    await vi.waitFor(() => expect([server.sockets.size, server.joined.size, server.page.listeners]).toEqual([0, 0, 1]))
    expect(status().channels).toEqual({ joined: 0, wanted: 0 })
    expect(status().reason).toBe("idle")
    client.close()
    expect(server.page.listeners).toBe(0)
  })
})

describe("useRealtimeTable", () => {
  it("calls the latest callback, on the same subscription", async () => {
    const heard: string[] = []
    const { rerender, result } = renderHook(({ name }) => useRealtimeTable("bookings", () => heard.push(name), { filter: "id=gt.0" }), {
      wrapper: inStrictMode,
      initialProps: { name: "first" },
    })
    await joins(1)
    expect(result.current).toMatchObject({ isReady: true, error: null })
    rerender({ name: "second" })
    tell(() => server.change("bookings", { id: 1 }))
    expect(heard).toEqual(["second"])
    expect(server.heard.filter(([, , , event]) => event === "phx_join")).toHaveLength(1)
  })

  it("asks anew when what is asked for changes, and not at all when switched off", async () => {
    const { rerender, result } = renderHook((options) => useRealtimeTable("bookings", () => undefined, options), {
      wrapper: inStrictMode,
      initialProps: { filter: "id=gt.0", enabled: false },
    })
    expect([server.opened, result.current.isReady]).toEqual([0, false])
    rerender({ filter: "id=gt.0", enabled: true })
    await joins(1)
    rerender({ filter: "id=gt.5", enabled: true })
    expect(result.current.isReady).toBe(false)
    await joins(1)
    await act(() => vi.waitFor(() => expect(JSON.stringify([...server.joined.values()])).toContain("id=gt.5")))
    expect(result.current.isReady).toBe(true)
  })
})

describe("useBroadcast", () => {
  it("hears what is said, with the latest listener", async () => {
    const heard: unknown[] = []
    const { rerender } = renderHook(({ name }) => useBroadcast("news", "hi", ({ payload }) => heard.push([name, payload])), {
      wrapper: inStrictMode,
      initialProps: { name: "first" },
    })
    await joins(1)
    rerender({ name: "second" })
    tell(() => server.broadcast("news", "hi", 1))
    tell(() => server.broadcast("news", "other", 2))
    expect(heard).toEqual([["second", 1]])
  })

  it("refuses to send where it is not in the topic", async () => {
    const { result } = renderHook(() => useBroadcast("news", "*", () => undefined, { enabled: false }), { wrapper: inStrictMode })
    await expect(result.current.send("hi", {})).rejects.toMatchObject({ code: "ChannelLeft" })
  })
})

describe("useRealtimePresence", () => {
  const tracked = (): Json[] => server.heard.filter(([, , , event, { event: what }]) => event === "presence" && what === "track").map(([, , , , { payload }]) => payload as Json)

  it("shows the user, again when the metadata changes, and tells who is there", async () => {
    const { rerender, result } = renderHook(({ user, mood }: { user: string | null; mood: string }) => useRealtimePresence("lobby", user, { mood }), {
      wrapper: inStrictMode,
      initialProps: { user: null as string | null, mood: "calm" },
    })
    expect(server.opened).toBe(0)
    rerender({ user: "ada", mood: "calm" })
    await joins(1)
    await vi.waitFor(() => expect(tracked().at(-1)).toMatchObject({ user_id: "ada", mood: "calm" }))
    rerender({ user: "ada", mood: "busy" })
    await vi.waitFor(() => expect(tracked().at(-1)).toMatchObject({ mood: "busy" }))
    tell(() => server.say([null, null, "realtime:lobby", "presence_state", { bo: { metas: [{ phx_ref: "r", mood: "new" }] } }]))
    expect([...result.current.users.keys()]).toEqual(["bo"])
    expect(server.joined.size).toBe(1)
  })
})

describe("useRows", () => {
  it("shows what is loaded, and the changes that follow", async () => {
    const { result } = renderHook(() => useRows<{ id: number }>({ table: "users", key: "id" }), { wrapper: inStrictMode })
    expect(result.current.state).toBe("loading")
    await act(() => vi.waitFor(() => expect(result.current.state).toBe("live")))
    tell(() => server.change("users", { id: 2 }))
    expect(result.current.rows.map(({ id }) => id)).toEqual([1, 2])
  })

  it("waits for a query", () => {
    const { result } = renderHook(() => useRows(null), { wrapper: inStrictMode })
    expect([result.current.state, server.opened]).toEqual(["loading", 0])
  })
})

describe("useRealtimeConnection", () => {
  it("is the client's status", async () => {
    const { result } = renderHook(() => {
      useRealtimeTable("bookings", () => undefined)
      return useRealtimeConnection()
    }, { wrapper: inStrictMode })
    await act(() => vi.waitFor(() => expect(result.current.status).toBe("connected")))
    expect([result.current.error, result.current.details]).toEqual([null, status()])
    tell(() => client.close())
    expect([result.current.status, result.current.error]).toEqual(["disconnected", null])
  })
})

describe("the provider", () => {
  it("hands down one client, whose absence is told with the remedy", () => {
    const seen: TidewireClient[] = []
    function Look(): null {
      const found = useClient()
      useEffect(() => void seen.push(found), [found])
      return null
    }
    render(<Look />, { wrapper: inStrictMode })
    expect(new Set(seen)).toEqual(new Set([client]))
    vi.spyOn(console, "error").mockImplementation(() => undefined) // React repeats what is thrown below
    expect(() => render(<Look />)).toThrow("using the page's client")
    vi.restoreAllMocks()
  })
})
