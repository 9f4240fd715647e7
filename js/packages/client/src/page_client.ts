/** The client of a page, for code that is not handed one, under names that such code knows. Adds nothing of its own. */
import { type ClientOptions, createClient, type PresenceSubscription, type TidewireClient } from "./client.ts"
import { TidewireError } from "./errors.ts"
import type { Channel } from "./shell/rooms.ts"
import type { ChannelOptions, ChannelStatus, ConnectionStatus, RealtimeEvent, RealtimeSubscription, Row, TableOptions } from "./types.ts"

let client: TidewireClient | null = null
const subscriptions = new Map<string, RealtimeSubscription>()
const channels = new Map<string, Channel>()
let made = 0

/** Make the client of this page. One that was there before is closed. */
export function configure(url: string, options: ClientOptions): TidewireClient {
  client?.close()
  subscriptions.clear()
  channels.clear()
  return (client = createClient(url, options))
}

export function defaultClient(): TidewireClient {
  if (client) return client
  throw new TidewireError("NotConfigured", "using the page's client: expected one, got none", {
    hint: "call configure(url, { apikey }) first",
  })
}

export const subscribeToTable = <T = Row>(
  table: string,
  callback: (event: RealtimeEvent<T>) => void,
  options?: TableOptions,
): RealtimeSubscription => defaultClient().subscribeToTable(table, callback, options)

export const subscribeToTables: TidewireClient["subscribeToTables"] = (tables) => defaultClient().subscribeToTables(tables)

export const subscribeToPresence = (...given: Parameters<TidewireClient["subscribeToPresence"]>): PresenceSubscription =>
  defaultClient().subscribeToPresence(...given)

function getStatus(): ConnectionStatus
function getStatus(topic: string): ChannelStatus
function getStatus(topic?: string): ConnectionStatus | ChannelStatus {
  if (topic === undefined) return defaultClient().status.getSnapshot()
  return channels.get(topic)?.status.getSnapshot() ?? { state: "left", reason: null }
}

function unsubscribe(id: string): void {
  subscriptions.get(id)?.unsubscribe()
  subscriptions.delete(id)
}

function removeChannel(topic: string): void {
  channels.get(topic)?.leave()
  channels.delete(topic)
}

export const realtimeManager = {
  /** Returns an id, for `unsubscribe`. */
  subscribe<T = Row>(
    { table, ...options }: TableOptions & { table: string },
    callback: (event: RealtimeEvent<T>) => void,
  ): string {
    made += 1
    const id = `subscription-${made}`
    subscriptions.set(id, subscribeToTable(table, callback, options))
    return id
  },
  unsubscribe,
  /** The older name of `unsubscribe`: it removes one subscription. */
  unsubscribeAll: unsubscribe,
  /** Get the channel of a topic, or make it. */
  getChannel(topic: string, options?: ChannelOptions): Channel {
    const known = channels.get(topic)
    if (known && known.status.getSnapshot().state !== "left") return known
    const made = defaultClient().channel(topic, options)
    channels.set(topic, made)
    return made
  },
  removeChannel,
  removeAllChannels(): void {
    for (const topic of [...channels.keys()]) removeChannel(topic)
  },
  getStatus,
  reconnectAll: (): void => defaultClient().reconnectAll(),
}
