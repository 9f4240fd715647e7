/** A server at the other end of sockets that are given to the client: joins are answered, and everything is counted. */
import type { Page } from "@tidewire/client"

type Frame = [joinRef: string | null, ref: string | null, topic: string, event: string, payload: Record<string, unknown>]

export class FakeServer {
  /** Sockets that are open, and topics that are joined, each with the payload of its join. */
  readonly sockets = new Set<FakeSocket>()
  readonly joined = new Map<string, Frame>()
  readonly heard: Frame[] = []
  opened = 0
  readonly page = new FakePage()

  /** The constructor for `createClient`. */
  readonly WebSocket: new (url: string) => FakeSocket = ((server: FakeServer) =>
    class extends FakeSocket {
      constructor() {
        super(server)
      }
    })(this)

  /** Say something in all channels that a change of this table is for. */
  change(table: string, row: Record<string, unknown>): void {
    for (const [topic, [joinRef, , , , payload]] of this.joined) {
      const bindings = (payload["config"] as { postgres_changes?: { table: string }[] }).postgres_changes ?? []
      const ids = bindings.flatMap((binding, number) => (binding.table === table ? [number + 1] : []))
      const data = { schema: "public", table, type: "INSERT", commit_timestamp: "2026-01-01T00:00:00Z", columns: [], record: row, errors: null }
      if (ids.length) this.say([joinRef, null, topic, "postgres_changes", { ids, data }])
    }
  }

  broadcast(topic: string, event: string, payload: unknown): void {
    this.say([null, null, `realtime:${topic}`, "broadcast", { type: "broadcast", event, payload }])
  }

  say(frame: Frame): void {
    for (const socket of this.sockets) socket.onmessage?.({ data: JSON.stringify(frame) } as never)
  }

  receive(text: string): void {
    const frame = JSON.parse(text) as Frame
    const [joinRef, ref, topic, event, payload] = frame
    this.heard.push(frame)
    if (event === "phx_join") this.joined.set(topic, frame)
    if (event === "phx_leave") this.joined.delete(topic)
    const asked = (payload["config"] as { postgres_changes?: object[] } | undefined)?.postgres_changes ?? []
    // Whoever comes with a position is told that nothing was missed; anything else has a list load again.
    const response = { recovered: true, postgres_changes: asked.map((binding, number) => ({ ...binding, id: number + 1 })) }
    this.say([joinRef, ref, topic, "phx_reply", { status: "ok", response }])
  }
}

class FakeSocket {
  binaryType = ""
  readyState = 0
  onopen: ((event: never) => unknown) | null = null
  onmessage: ((event: never) => unknown) | null = null
  onclose: ((event: never) => unknown) | null = null
  onerror: ((event: never) => unknown) | null = null
  readonly #server: FakeServer

  constructor(server: FakeServer) {
    this.#server = server
    server.opened += 1
    server.sockets.add(this)
    queueMicrotask(() => {
      this.readyState = 1
      this.onopen?.({} as never)
    })
  }

  send(data: string | Uint8Array): void {
    // Broadcasts leave as bytes, which this server takes no interest in.
    if (typeof data === "string") queueMicrotask(() => this.#server.receive(data))
  }

  close(): void {
    this.#server.sockets.delete(this)
    this.#server.joined.clear()
  }
}

class FakePage implements Page {
  listeners = 0
  isOnline = (): boolean => true
  isHidden = (): boolean => false
  listen(): () => void {
    this.listeners += 1
    return () => (this.listeners -= 1)
  }
}
