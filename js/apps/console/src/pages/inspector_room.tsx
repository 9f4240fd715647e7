/** Takes part in the topic that is listened to: says something, is seen there, and sees who else is. */
import { TidewireError, type JsonObject, type Presence } from "@tidewire/client"
import { Button, Field, Panel, type Problem } from "@tidewire/ui"
import { type ReactElement, type SubmitEvent, useState } from "react"

import type { Listener, ListenerState } from "../inspector/listener.ts"
import { jsonOf } from "../inspector/reading.ts"

export interface RoomPanelProps {
  readonly listener: Listener
  readonly state: ListenerState
}

export function RoomPanel({ listener, state }: RoomPanelProps): ReactElement {
  return (
    <>
      <Panel title="Broadcast"><BroadcastForm listener={listener} /></Panel>
      <Panel title="Presence"><PresenceView listener={listener} state={state} /></Panel>
    </>
  )
}

function BroadcastForm({ listener }: Pick<RoomPanelProps, "listener">): ReactElement {
  const [event, setEvent] = useState("message")
  const [text, setText] = useState('{"hello": "world"}')
  const [problem, setProblem] = useState<Problem | undefined>()
  const submit = (submitted: SubmitEvent<HTMLFormElement>): void => {
    submitted.preventDefault()
    const payload = jsonOf(text)
    setProblem(payload === undefined ? { message: "This is no JSON.", remedy: "Text needs quotes around it." } : undefined)
    if (payload !== undefined) listener.send(event.trim() || "message", payload).catch((error: unknown) => setProblem(problemOf(error)))
  }
  return (
    <form className="fields" onSubmit={submit} noValidate>
      <Field label="Event">{(control) => <input {...control} value={event} autoComplete="off" spellCheck={false} onChange={(change) => setEvent(change.target.value)} />}</Field>
      <Field label="Payload" problem={problem}>
        {(control) => <textarea {...control} rows={2} spellCheck={false} value={text} onChange={(change) => setText(change.target.value)} />}
      </Field>
      <div className="row"><Button type="submit">Send</Button></div>
    </form>
  )
}

function PresenceView({ listener, state: { presence, isTracked, plan } }: RoomPanelProps): ReactElement {
  const [problem, setProblem] = useState<Problem | null>(null)
  const meta: JsonObject = { user_id: plan?.reader.user ?? null, from: "inspector" }
  const toggle = (): void => {
    setProblem(null)
    const done = isTracked ? listener.untrack() : listener.track(meta)
    done.catch((error: unknown) => setProblem(problemOf(error)))
  }
  return (
    <>
      {presence.size === 0
        ? <p className="soft">Nobody is there.</p>
        : <ul className="channels" aria-label="Who is there">{[...presence].map(([key, presences]) => <Someone key={key} name={key} presences={presences} />)}</ul>}
      {problem && <p role="alert" className="refusal"><strong>{problem.message}</strong> {problem.remedy}</p>}
      <div className="row"><Button onClick={toggle}>{isTracked ? "Leave" : "Be seen here"}</Button></div>
    </>
  )
}

function Someone({ name, presences }: { readonly name: string; readonly presences: readonly Presence[] }): ReactElement {
  const metas = presences.map((presence) => JSON.stringify({ ...presence, presence_ref: undefined }))
  return (
    <li>
      <span className="mono">{name}</span>
      <div className="mono soft">{metas.join(" ")}</div>
    </li>
  )
}

function problemOf(error: unknown): Problem {
  if (!(error instanceof TidewireError)) return { message: "It did not work.", remedy: String(error) }
  return { message: `${error.message}.`, remedy: error.hint }
}
