/** Carries frames over a WebSocket. */
import { failureOfClose, once, type OpenLink } from "./link.ts"

/** The part of a browser's WebSocket that is used, so that one from elsewhere will do. */
export interface WebSocketLike {
  binaryType: string
  readonly readyState: number
  onopen: ((event: never) => unknown) | null
  onmessage: ((event: never) => unknown) | null
  onclose: ((event: never) => unknown) | null
  onerror: ((event: never) => unknown) | null
  send(data: string | Uint8Array<ArrayBuffer>): void
  close(): void
}
export type WebSocketConstructor = new (url: string) => WebSocketLike

const OPEN = 1

export function overWebSocket(WebSocket: WebSocketConstructor): OpenLink {
  return ({ url, apikey }, given) => {
    const events = once(given)
    const query = new URLSearchParams({ apikey, vsn: "2.0.0" })
    const socket = new WebSocket(`${url.replace(/^http/, "ws")}/websocket?${query.toString()}`)
    socket.binaryType = "arraybuffer"
    socket.onopen = () => events.opened()
    socket.onmessage = ({ data }: { data: string | ArrayBuffer }) => events.frame(data)
    socket.onerror = () => undefined // says nothing that the close does not; without it, `ws` throws
    socket.onclose = ({ code, reason }: { code: number; reason: string }) =>
      events.ended(failureOfClose(code), reason || `closed with ${code}`)
    return {
      send: (frame) => socket.readyState === OPEN && socket.send(frame),
      close() {
        events.close()
        socket.close()
      },
    }
  }
}
