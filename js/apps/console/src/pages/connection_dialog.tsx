/** One connection: its channels, and the way to send it away. */
import { Badge, bytes, Button, dateAndTime, Details, Dialog, joined, milliseconds } from "@tidewire/ui"
import { toast } from "@tidewire/ui/toasts"
import { type ReactElement, useState } from "react"

import { post } from "../api.ts"
import { AskedGate } from "../asked_gate.tsx"
import type { ConnectionDetail } from "../feed_types.ts"
import { session } from "../session.ts"
import { useAsked } from "../use_asked.ts"

export interface ConnectionDialogProps {
  readonly number: number
  readonly onClose: () => void
}

export function ConnectionDialog({ number, onClose }: ConnectionDialogProps): ReactElement {
  const asked = useAsked<ConnectionDetail>(`/connections/${number}`)
  return (
    <Dialog title={`Connection ${number}`} onClose={onClose}>
      <AskedGate asked={asked} title="Loading the connection">
        {(detail) => <Detail detail={detail} onClose={onClose} />}
      </AskedGate>
    </Dialog>
  )
}

function Detail({ detail, onClose }: { readonly detail: ConnectionDetail; readonly onClose: () => void }): ReactElement {
  const { number, user, role, since, queue_bytes, rtt_ms } = detail.connection
  const [isSure, setIsSure] = useState(false)
  const disconnect = (): void => {
    post(`/connections/${number}/disconnect`, {}, session.token).then(
      () => toast.success(`Connection ${number} was sent away. Most clients come back.`),
      (problem: unknown) => toast.error(problem instanceof Error ? problem.message : "It did not work."),
    )
    onClose()
  }
  return (
    <>
      <Details entries={[
        ["User", user ?? "nobody"],
        ["Role", role ?? "not joined yet"],
        ["Connected", dateAndTime(since)],
        ["Queue", joined(bytes(queue_bytes))],
        ["Round trip", joined(milliseconds(rtt_ms))],
      ]} />
      <Channels detail={detail} />
      <div className="row">
        {isSure
          ? <><Button kind="danger" onClick={disconnect}>Yes, disconnect</Button><Button onClick={() => setIsSure(false)}>Keep it</Button></>
          : <Button kind="danger" onClick={() => setIsSure(true)}>Disconnect</Button>}
      </div>
    </>
  )
}

function Channels({ detail: { channels } }: { readonly detail: ConnectionDetail }): ReactElement {
  if (channels.length === 0) return <p className="soft">In no channel.</p>
  return (
    <ul className="channels" aria-label="Channels">
      {channels.map((channel) => (
        <li key={channel.topic} className="row">
          <span className="mono">{channel.topic.replace(/^realtime:/, "")}</span>
          {channel.private && <Badge>private</Badge>}
          {channel.presence && <Badge>presence</Badge>}
        </li>
      ))}
    </ul>
  )
}
