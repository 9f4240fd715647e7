/** Listens to a topic and a table as somebody else. */
import { Badge, Button, ErrorState, Panel, type Tone } from "@tidewire/ui"
import { useStore } from "@tidewire/react"
import { type ReactElement, type SubmitEvent, useState } from "react"

import { type Listener, type ListenerState, type Place } from "../inspector/listener.ts"
import { blame, type Problems, readPlan, without } from "../inspector/reading.ts"
import { tableRemedy, topicRemedy } from "../inspector/refusals.ts"
import type { Wish } from "../inspector/wish.ts"
import { focusProblem, TextField, WishFields, type WishParts } from "./inspector_fields.tsx"
import { FramesPanel } from "./inspector_frames.tsx"
import { RoomPanel } from "./inspector_room.tsx"

export interface InspectorListenProps extends WishParts {
  readonly listener: Listener
}

export function InspectorListen({ wish, tables, onChange, listener }: InspectorListenProps): ReactElement {
  const state = useStore(listener)
  const [wrong, setWrong] = useState<Problems>({})
  const blamed = state.problem ? blame(state.problem) : null
  const submit = (event: SubmitEvent<HTMLFormElement>): void => {
    event.preventDefault()
    const reading = readPlan(wish)
    setWrong("problems" in reading ? reading.problems : {})
    if ("problems" in reading) focusProblem(event.currentTarget)
    else void listener.start(reading.read)
  }
  const change = (next: Partial<Wish>): void => {
    setWrong((now) => without(now, Object.keys(next) as (keyof Wish)[]))
    onChange(next)
  }
  const parts = { wish, onChange: change, problems: { ...blamed, ...wrong } }
  const isOn = state.phase !== "idle"
  return (
    <div className="inspect">
      <Panel title="What to listen to, and as whom">
        <form className="fields" onSubmit={submit} noValidate>
          <TextField name="topic" label="Topic" parts={parts} placeholder="room-1" hint="For broadcasts and presence" />
          <label className="check">
            <input type="checkbox" checked={wish.isPrivate} onChange={(event) => change({ isPrivate: event.target.checked })} />
            Private channel
          </label>
          <WishFields {...parts} tables={tables} />
          <div className="row">
            <Button type="submit" kind="primary">{isOn ? "Listen anew" : "Listen"}</Button>
            {isOn && <Button onClick={() => listener.stop()}>Stop</Button>}
          </div>
        </form>
      </Panel>
      <div className="inspected">
        <Panel title="What arrives">
          {state.problem && !blamed && <ErrorState title={state.problem.message}>{state.problem.hint}</ErrorState>}
          <Places state={state} />
          <FramesPanel state={state} onClear={() => listener.clear()} />
        </Panel>
      </div>
      {state.topic?.status.state === "joined" && <div className="stack"><RoomPanel listener={listener} state={state} /></div>}
    </div>
  )
}

function Places({ state: { phase, plan, topic, table, trouble } }: { readonly state: ListenerState }): ReactElement | null {
  if (phase === "idle" || !plan) return null
  const { role, user } = plan.reader
  return (
    <div className="places" role="status">
      <p>As {role}, {user === null ? "without a user" : <>user <span className="mono">{user}</span></>}.</p>
      {trouble !== null && <p className="refusal"><strong>The connection is away.</strong> {trouble} If it stays so, listen anew.</p>}
      {topic && <PlaceLine what="Topic" place={topic} remedyOf={(reason) => topicRemedy(reason, role, { isPrivate: plan.topic?.isPrivate ?? false })} />}
      {table && <PlaceLine what="Table" place={table} remedyOf={tableRemedy} />}
    </div>
  )
}

interface PlaceLineProps {
  readonly what: string
  readonly place: Place
  readonly remedyOf: (reason: string) => string
}

function PlaceLine({ what, place: { name, status: { state, reason } }, remedyOf }: PlaceLineProps): ReactElement {
  const isRefused = reason !== null && state !== "joined"
  const [tone, word] = faceOf(state, isRefused)
  return (
    <div>
      <div className="row"><span>{what} <span className="mono">{name}</span></span><Badge tone={tone}>{word}</Badge></div>
      {isRefused && <p className="refusal"><strong>{reason.replace(/\.?$/, ".")}</strong> {remedyOf(reason)}</p>}
    </div>
  )
}

function faceOf(state: Place["status"]["state"], isRefused: boolean): [Tone, string] {
  if (state === "joined") return ["good", "live"]
  if (state === "refused") return ["bad", "refused"]
  return isRefused ? ["bad", "refused, tried again"] : ["warn", "joining"]
}
