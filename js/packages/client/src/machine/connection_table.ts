/** What a connection may be in, what may happen to it, and what is done then: every state by every event. */
import type { TransportName } from "../types.ts"
import type { Failure } from "./ladder.ts"

export type ConnectionState = "idle" | "waiting" | "opening" | "proving" | "live" | "closed"

export type ConnectionEvent =
  | { readonly type: "want" | "unwant" | "opened" | "heard" | "answered" | "tick" | "reconnect" | "close" }
  | { readonly type: "online" | "offline" | "visible" | "hidden" }
  | { readonly type: "ended"; readonly failure: Failure; readonly detail: string }
  | { readonly type: "probed"; readonly isUsable: boolean }

/** `up` and `down` are for the channels; `probe` tries a transport beside the one that works. */
export type ConnectionEffect =
  | { readonly type: "open" | "probe"; readonly transport: TransportName }
  | { readonly type: "hangUp" | "beat" | "up" | "down" }

export type ConnectionAction =
  | "ignore" | "start" | "stop" | "linger" | "stay" | "opened" | "hear" | "answered" | "failed" | "restart" | "upgrade"
  | "tickWaiting" | "tickOpening" | "tickUp" | "retryNow" | "retryShown" | "checkShown" | "checkOnline" | "checkOffline"
  | "noteOnline" | "noteOffline" | "show" | "hide" | "end"

export const CONNECTION_TABLE: Readonly<
  Record<ConnectionState, Readonly<Record<ConnectionEvent["type"], ConnectionAction>>>
> = {
  // What is ignored cannot come in that state, or changes nothing there.
  idle: {
    want: "start", unwant: "ignore", opened: "ignore", heard: "ignore", answered: "ignore", ended: "ignore",
    tick: "ignore", online: "noteOnline", offline: "noteOffline", visible: "show", hidden: "hide",
    reconnect: "ignore", probed: "ignore", close: "end",
  },
  waiting: {
    want: "ignore", unwant: "stop", opened: "ignore", heard: "ignore", answered: "ignore", ended: "ignore",
    tick: "tickWaiting", online: "retryNow", offline: "noteOffline", visible: "retryShown", hidden: "hide",
    reconnect: "retryNow", probed: "ignore", close: "end",
  },
  opening: {
    want: "stay", unwant: "linger", opened: "opened", heard: "ignore", answered: "ignore", ended: "failed",
    tick: "tickOpening", online: "noteOnline", offline: "noteOffline", visible: "show", hidden: "hide",
    reconnect: "ignore", probed: "ignore", close: "end",
  },
  proving: {
    want: "stay", unwant: "linger", opened: "ignore", heard: "hear", answered: "answered", ended: "failed",
    tick: "tickUp", online: "noteOnline", offline: "noteOffline", visible: "show", hidden: "hide",
    reconnect: "restart", probed: "ignore", close: "end",
  },
  live: {
    want: "stay", unwant: "linger", opened: "ignore", heard: "hear", answered: "answered", ended: "failed",
    tick: "tickUp", online: "checkOnline", offline: "checkOffline", visible: "checkShown", hidden: "hide",
    reconnect: "restart", probed: "upgrade", close: "end",
  },
  closed: {
    want: "ignore", unwant: "ignore", opened: "ignore", heard: "ignore", answered: "ignore", ended: "ignore",
    tick: "ignore", online: "ignore", offline: "ignore", visible: "ignore", hidden: "ignore",
    reconnect: "ignore", probed: "ignore", close: "ignore",
  },
}
