/** What every transport is to its owner: something that opens, carries frames both ways, and ends once. */
import type { Failure } from "../machine/ladder.ts"
import type { Frame } from "../wire/codec.ts"

export interface Link {
  /** Frames leave in their order. */
  send(frame: Frame): void
  /** Hang up. Nothing is told to the events any more. */
  close(): void
}

export interface LinkEvents {
  opened(): void
  frame(data: string | ArrayBuffer): void
  ended(failure: Failure, detail: string): void
}

export interface Address {
  /** That of the server's realtime API, without a slash at its end. */
  readonly url: string
  readonly apikey: string
}

export type OpenLink = (address: Address, events: LinkEvents) => Link

/** Say nothing after the end, and end only once. */
export function once(events: LinkEvents): LinkEvents & { close(): void; readonly isOver: boolean } {
  let isOver = false
  return {
    opened: () => isOver || events.opened(),
    frame: (data) => isOver || events.frame(data),
    ended(failure, detail) {
      if (isOver) return
      isOver = true
      events.ended(failure, detail)
    },
    close: () => (isOver = true),
    get isOver() {
      return isOver
    },
  }
}

const SERVICE_RESTART = 1012
const TOO_SLOW = 1013

/** What the code of a close means for coming back. */
export function failureOfClose(code: number): Failure {
  if (code === SERVICE_RESTART || code === TOO_SLOW) return "unreachable"
  return code === 1001 ? "later" : "unclear"
}

/** What the status of an answer means. */
export function failureOfStatus(status: number): Failure {
  if (status === 401 || status === 403) return "refused"
  if (status === 429) return "later"
  return status === 503 ? "unreachable" : "unusable"
}
