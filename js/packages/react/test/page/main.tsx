/** Mounts and unmounts components with hooks as a test tells it, against a real server: `?url=…&apikey=…&tables=a,b`. */
import { createClient, type TidewireClient } from "@tidewire/client"
import { type ReactElement, StrictMode, useEffect } from "react"
import { createRoot } from "react-dom/client"

import { TidewireProvider, useBroadcast, useRealtimeConnection, useRealtimePresence, useRealtimeTable, useRows } from "../../src/index.ts"

interface Told {
  client: TidewireClient
  sockets: { made: number; open: number }
  mounts: number
  heard: string[]
  show(scene: keyof typeof SCENES): void
  cycle(count: number): Promise<void>
}
declare global {
  interface Window {
    told: Told
  }
}

const HOOKS = 20
const query = new URLSearchParams(location.search)
const tables = (query.get("tables") ?? "").split(",")
const sockets = { made: 0, open: 0 }

/** Counts, and holds on to nothing. */
class CountedSocket extends WebSocket {
  constructor(url: string) {
    super(url)
    sockets.made += 1
    sockets.open += 1
    this.addEventListener("close", () => (sockets.open -= 1))
  }
}

performance.setResourceTimingBufferSize(0) // the browser's own record of requests is no leak of ours

const client = createClient(query.get("url") ?? "", { apikey: query.get("apikey") ?? "", WebSocket: CountedSocket, timing: { leaveMs: 5 } })
const root = createRoot(document.getElementById("root") ?? document.body)

function Follower({ table }: { table: string }): null {
  useRealtimeTable(table, () => window.told.heard.push(table))
  return null
}

function Twenty(): ReactElement[] {
  return Array.from({ length: HOOKS }, (_, number) => <Follower key={number} table={tables[number % tables.length] ?? ""} />)
}

function Everything(): ReactElement {
  const [, first = "", second = ""] = tables
  const { isReady } = useRealtimeTable(first, () => undefined)
  const { state, rows } = useRows({ table: second })
  useRealtimePresence("lobby", "ada", { mood: "calm" })
  useBroadcast("news", "*", () => undefined)
  const { status } = useRealtimeConnection()
  useEffect(() => void (window.told.mounts += 1), [])
  return (
    <output data-live={isReady && state === "live"}>
      {status}: {rows.length}
    </output>
  )
}

const SCENES = { nothing: null, twenty: <Twenty />, everything: <Everything /> }

/** One follower always stays, so that what comes and goes finds a connection. */
function show(scene: keyof typeof SCENES): void {
  root.render(
    <StrictMode>
      <TidewireProvider client={client}>
        <Follower table={tables[0] ?? ""} />
        {SCENES[scene]}
      </TidewireProvider>
    </StrictMode>,
  )
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1))
}

/** Shows everything until it is live and takes it away until its channels are left, again and again. */
async function cycle(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) {
    show("everything")
    await until(() => document.querySelector("output")?.dataset["live"] === "true")
    show("nothing")
    await until(() => client.status.getSnapshot().channels.wanted === 1)
  }
}

window.told = { client, sockets, mounts: 0, heard: [], show, cycle }
