/** Puts the parts together: what an application makes once, and asks for everything. */
import type { TransportName } from "./types.ts"
import { TidewireError } from "./errors.ts"
import { type Timing, TIMING } from "./machine/timing.ts"
import { type DataApi, loadRows } from "./rows/data_api.ts"
import type { RowsQuery } from "./rows/query.ts"
import { Rows, type RowsStore } from "./rows/rows_store.ts"
import { Hub } from "./shell/hub.ts"
import { browserPage, type Page } from "./shell/page.ts"
import { type Channel, Rooms } from "./shell/rooms.ts"
import { TableChannels } from "./shell/table_channels.ts"
import { type AccessToken, Tokens } from "./shell/tokens.ts"
import type { Store } from "./store.ts"
import { overEventStream } from "./transport/event_stream.ts"
import type { OpenLink } from "./transport/link.ts"
import { overLongPoll } from "./transport/long_poll.ts"
import { overWebSocket, type WebSocketConstructor } from "./transport/websocket.ts"
import type {
  ChannelOptions, ConnectionStatus, JsonObject, PresenceHandlers, RealtimeEvent, RealtimeSubscription, Row,
  TableOptions, TableSubscription,
} from "./types.ts"

export interface ClientOptions {
  apikey: string
  accessToken?: AccessToken
  transports?: readonly TransportName[]
  WebSocket?: WebSocketConstructor
  fetch?: typeof globalThis.fetch
  page?: Page | null
  timing?: Partial<Timing>
}

export interface PresenceSubscription extends RealtimeSubscription {
  readonly presence: Channel["presence"]
}

const MOST_IDLE_ROWS = 100
const TRANSPORTS: readonly TransportName[] = ["websocket", "sse", "longpoll"]

/** Make a client. It connects when something is subscribed to; make one for a page, and `close` it never or at the end. */
export function createClient(url: string, options: ClientOptions): TidewireClient {
  return new TidewireClient(url, options)
}

export class TidewireClient {
  readonly status: Store<ConnectionStatus>
  readonly #hub: Hub
  readonly #tables: TableChannels
  readonly #rooms: Rooms
  readonly #api: DataApi
  readonly #rows = new Map<string, Rows>()
  readonly #timing: Timing

  constructor(url: string, options: ClientOptions) {
    const base = url.replace(/\/+$/, "")
    const { apikey } = options
    // Called through an arrow, because a browser's own function must not be called as a method of ours.
    const fetch: typeof globalThis.fetch = (...given) => (options.fetch ?? globalThis.fetch)(...given)
    this.#timing = { ...TIMING, ...options.timing }
    const tokens = new Tokens(options.accessToken ?? null, this.#timing)
    this.#hub = new Hub({
      url: `${base}/realtime/v1`,
      apikey,
      transports: choose(options, fetch),
      tokens,
      page: options.page === undefined ? browserPage() : options.page,
      timing: this.#timing,
    })
    this.status = this.#hub.status
    this.#tables = new TableChannels(this.#hub)
    this.#rooms = new Rooms(this.#hub)
    this.#api = { url: `${base}/rest/v1`, apikey, fetch, token: (fresh) => tokens.get(fresh) }
  }

  /** Be told of every change from now on, once each. Unsubscribe when nobody wants to know any more. */
  subscribeToTable<T = Row>(table: string, callback: (event: RealtimeEvent<T>) => void, options: TableOptions = {}): RealtimeSubscription {
    return this.subscribeToTables([{ ...options, table, callback: callback as TableSubscription["callback"] }])
  }

  /** The same for several tables, on one channel. */
  subscribeToTables(tables: readonly TableSubscription[]): RealtimeSubscription {
    return this.#tables.subscribe(tables)
  }

  /** Open a channel for broadcasts and presence. Leave it when it is not wanted any more. */
  channel(topic: string, options: ChannelOptions = {}): Channel {
    return this.#rooms.open(topic, options)
  }

  /** Be seen in a topic as a user, and see who else is there. */
  subscribeToPresence(topic: string, userId: string, metadata: JsonObject = {}, handlers: PresenceHandlers = {}): PresenceSubscription {
    const channel = this.channel(topic, { presenceKey: userId })
    channel.onPresence(handlers)
    // A refusal is seen in the channel's status; nobody waits for this promise.
    channel.track({ ...metadata, user_id: userId, online_at: new Date().toISOString() }).catch(() => undefined)
    return { channel: topic, status: channel.status, presence: channel.presence, unsubscribe: () => channel.leave() }
  }

  /** Return the store of a list. It loads and follows the list while somebody is subscribed to it. */
  rows<T = Row>(query: RowsQuery): RowsStore<T> {
    const key = JSON.stringify(Object.entries(query).sort(([one], [other]) => (one < other ? -1 : 1)))
    let rows = this.#rows.get(key)
    if (!rows) {
      if (this.#rows.size >= MOST_IDLE_ROWS) this.#forgetIdleRows()
      const made = new Rows(query, {
        load: (wanted, signal) => loadRows(this.#api, wanted, signal),
        follow: (binding, follower, after) => this.#tables.follow([binding], follower, after),
        timing: this.#timing,
      }, (isUsed) => {
        if (isUsed && !this.#rows.has(key)) this.#rows.set(key, made)
        if (!isUsed && this.#rows.get(key) === made) this.#rows.delete(key)
      })
      this.#rows.set(key, (rows = made))
    }
    return rows as unknown as RowsStore<T>
  }

  /** A query that was asked for and never watched, as by a component that was not shown in the end, is no more needed. */
  #forgetIdleRows(): void {
    for (const [key, rows] of this.#rows) if (rows.isIdle) this.#rows.delete(key)
  }

  /** Connect anew at once, and try refused channels again. */
  reconnectAll(): void {
    this.#hub.reconnectAll()
  }

  /** Ask `accessToken` now, and tell every channel: after signing in or out. */
  async updateToken(): Promise<void> {
    await this.#hub.renewToken()
    for (const rows of this.#rows.values()) rows.reload() // another user may see other rows
  }

  /** Hang up for good. */
  close(): void {
    for (const rows of [...this.#rows.values()]) rows.stop()
    this.#hub.close()
  }
}

function choose(options: ClientOptions, fetch: typeof globalThis.fetch): Map<TransportName, OpenLink> {
  const WebSocket = options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket
  const known: Record<TransportName, OpenLink | null> = {
    websocket: WebSocket ? overWebSocket(WebSocket) : null,
    sse: overEventStream(fetch),
    longpoll: overLongPoll(fetch),
  }
  const chosen = new Map<TransportName, OpenLink>()
  for (const name of options.transports ?? TRANSPORTS) {
    const open = known[name]
    if (open) chosen.set(name, open)
  }
  if (chosen.size) return chosen
  throw new TidewireError("NoTransport", "making a client: expected a transport that this platform has, got none", {
    hint: "give `WebSocket`, or allow sse and longpoll",
  })
}
