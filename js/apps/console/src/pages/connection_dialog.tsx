/** One connection: its channels, and the way to send it away. */
import { Badge, bytes, Button, dateAndTime, Details, Dialog, ErrorState, joined, LoadingState } from "@tidewire/ui"
import { toast } from "@tidewire/ui/toasts"
import { type ReactElement, useEffect, useState } from "react"

import { ApiError, ask, post } from "../api.ts"
import type { ConnectionDetail } from "../feed_types.ts"
import { session } from "../session.ts"

export interface ConnectionDialogProps {
  readonly number: number
  readonly onClose: () => void
}

export function ConnectionDialog({ number, onClose }: ConnectionDialogProps): ReactElement {
  const { detail, error } = useDetail(number)
  const [isSure, setIsSure] = useState(false)
  const disconnect = (): void => {
    post(`/connections/${number}/disconnect`, {}, session.token).then(
      () => toast.success(`Connection ${number} was sent away. Most clients come back.`),
      (problem: unknown) => toast.error(problem instanceof Error ? problem.message : "It did not work."),
    )
    onClose()
  }
  return (
    <Dialog title={`Connection ${number}`} onClose={onClose}>
      {error && <ErrorState title={error.message}>{error.hint}</ErrorState>}
      {!error && !detail && <LoadingState title="Loading the connection" />}
      {detail && (
        <>
          <Details entries={[
            ["User", detail.connection.user ?? "nobody"],
            ["Role", detail.connection.role ?? "not joined yet"],
            ["Connected", dateAndTime(detail.connection.since)],
            ["Queue", joined(bytes(detail.connection.queue_bytes))],
          ]} />
          <Channels detail={detail} />
          <div className="row">
            {isSure
              ? <><Button kind="danger" onClick={disconnect}>Yes, disconnect</Button><Button onClick={() => setIsSure(false)}>Keep it</Button></>
              : <Button kind="danger" onClick={() => setIsSure(true)}>Disconnect</Button>}
          </div>
        </>
      )}
    </Dialog>
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

function useDetail(number: number): { detail: ConnectionDetail | null; error: ApiError | null } {
  const [found, setFound] = useState<{ detail: ConnectionDetail | null; error: ApiError | null }>({ detail: null, error: null })
  useEffect(() => {
    const stop = new AbortController()
    ask<ConnectionDetail>(`/connections/${number}`, { token: session.token, signal: stop.signal }).then(
      (detail) => setFound({ detail, error: null }),
      (error: unknown) => stop.signal.aborted || setFound({ detail: null, error: error instanceof ApiError ? error : new ApiError(0, null) }),
    )
    return () => stop.abort()
  }, [number])
  return found
}
