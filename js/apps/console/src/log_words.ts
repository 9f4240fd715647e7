/** What the reference says of what was logged: of the error, if it is one of ours, and of the event. */
import errorsPage from "@tidewire/reference/errors.md?raw"
import logPage from "@tidewire/reference/log.md?raw"

import type { LoggedEvent } from "./feed_types.ts"
import { handbookOf, type Paragraph } from "./handbook.ts"

export interface LogWords {
  readonly name: string
  readonly paragraphs: readonly Paragraph[]
}

export const EVENTS = handbookOf(logPage)
export const ERRORS = handbookOf(errorsPage)

/** Return nothing of what an application that shares our log has said. */
export function wordsOf({ event, code }: Pick<LoggedEvent, "event" | "code">): readonly LogWords[] {
  const found = [{ name: event, paragraphs: EVENTS.get(event) }, { name: code, paragraphs: ERRORS.get(code) }]
  return found.flatMap(({ name, paragraphs }) => (paragraphs ? [{ name, paragraphs }] : []))
}
