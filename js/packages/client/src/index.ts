export { createClient, TidewireClient, type ClientOptions, type PresenceSubscription } from "./client.ts"
export { TidewireError } from "./errors.ts"
export type { Timing } from "./machine/timing.ts"
export { configure, defaultClient, realtimeManager, subscribeToPresence, subscribeToTable, subscribeToTables } from "./page_client.ts"
export type { RowsQuery } from "./rows/query.ts"
export type { RowsChange, RowsSnapshot, RowsStore } from "./rows/rows_store.ts"
export type { Page, PageEvent } from "./shell/page.ts"
export type { Channel } from "./shell/rooms.ts"
export type { Store } from "./store.ts"
export type { WebSocketConstructor, WebSocketLike } from "./transport/websocket.ts"
export type {
  BroadcastMessage, ChannelOptions, ChannelStatus, ConnectionStatus, Gap, Json, JsonObject, Presence, PresenceHandlers,
  PresenceState, RealtimeEvent, RealtimeSubscription, Row, StatusReason, TableOptions, TableSubscription, TransportName,
} from "./types.ts"
