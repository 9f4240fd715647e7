/** One logged event with what its names mean and what to do, in the words of the reference. */
import { Details, dateAndTime, Dialog } from "@tidewire/ui"
import type { ReactElement } from "react"

import type { LoggedEvent } from "../feed_types.ts"
import { wordsOf } from "../log_words.ts"
import { Prose } from "../prose.tsx"

export interface EventDialogProps {
  readonly event: LoggedEvent
  readonly onClose: () => void
}

export function EventDialog({ event, onClose }: EventDialogProps): ReactElement {
  return (
    <Dialog title={event.code} onClose={onClose}>
      {wordsOf(event).map(({ name, paragraphs }) => (
        <section key={name} className="words" aria-label={name}>
          {name !== event.code && <h3 className="mono">{name}</h3>}
          <Prose paragraphs={paragraphs} />
        </section>
      ))}
      <Details entries={[
        ["Time", dateAndTime(event.at)],
        ["Level", event.level],
        ...Object.entries(event.details).map(([name, value]) => [name, value] as const),
      ]} />
    </Dialog>
  )
}
