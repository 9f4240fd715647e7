/** Shows how the connection is: a dot and a word, more in a tooltip, all of it with a way to reconnect in a popover. */
import type { ConnectionStatus as Status, StatusReason } from "@tidewire/client"
import { useRealtimeConnection } from "@tidewire/react"
import { Popover, Tooltip } from "radix-ui"
import type { ReactElement } from "react"

import { Button, Details, type Tone } from "./basics.tsx"
import { age, joined, milliseconds } from "./format.ts"
import { useNow } from "./use_now.ts"

const REASONS: Readonly<Record<StatusReason, string>> = {
  idle: "Nothing is being followed.",
  closed: "The connection was closed here.",
  offline: "This device is offline.",
  unreachable: "The server does not answer.",
  silent: "The connection went silent.",
  lost: "The connection was cut.",
  refused: "The server refused.",
  token: "The token could not be renewed.",
  joining: "What you follow is being joined.",
}
const TRANSPORTS = { websocket: "WebSocket", sse: "Event stream", longpoll: "Long polling" } as const

export interface ConnectionStatusProps {
  readonly status: Status
  readonly onReconnect: () => void
}

/** The page's own connection. */
export function LiveConnectionStatus(): ReactElement {
  const { details, reconnect } = useRealtimeConnection()
  return <ConnectionStatus status={details} onReconnect={reconnect} />
}

export function ConnectionStatus({ status, onReconnect }: ConnectionStatusProps): ReactElement {
  const { tone, label } = faceOf(status)
  const summary = summaryOf(status)
  return (
    <Popover.Root>
      <Tooltip.Provider delayDuration={300}>
        <Tooltip.Root>
          <Tooltip.Trigger asChild>
            <Popover.Trigger asChild>
              <Button kind="quiet" className="tw-connection" aria-label={`Connection: ${label}`}>
                <span className="tw-dot" data-tone={tone} />
                <span>{label}</span>
              </Button>
            </Popover.Trigger>
          </Tooltip.Trigger>
          <Tooltip.Portal>
            <Tooltip.Content className="tw-tip" sideOffset={6} collisionPadding={8}>{summary}</Tooltip.Content>
          </Tooltip.Portal>
        </Tooltip.Root>
      </Tooltip.Provider>
      <span role="status" className="tw-hidden">{`Connection: ${label}`}</span>
      <Popover.Portal>
        <Popover.Content className="tw-popover" sideOffset={6} collisionPadding={12} align="end" aria-label="Connection">
          <strong>{summary}</strong>
          <StatusDetails status={status} />
          <Button kind={tone === "good" ? "plain" : "primary"} onClick={onReconnect}>Reconnect</Button>
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  )
}

function StatusDetails({ status }: { readonly status: Status }): ReactElement {
  const now = useNow()
  const { transport, rttMs, channels, attempt, nextRetryAt, since, refused } = status
  const entries: [string, string][] = [["For", age((now - since) / 1000)]]
  if (transport) entries.push(["Transport", TRANSPORTS[transport]])
  if (rttMs !== null) entries.push(["Round trip", joined(milliseconds(rttMs))])
  entries.push(["Channels", `${channels.joined} of ${channels.wanted}`])
  if (attempt > 0) entries.push(["Attempt", String(attempt)])
  if (nextRetryAt !== null) entries.push(["Next attempt", nextRetryAt <= now ? "now" : `in ${age((nextRetryAt - now) / 1000 + 1)}`])
  for (const { topic, reason } of refused.slice(0, 3)) entries.push([topic.replace(/^realtime:/, ""), reason])
  return <Details entries={entries} />
}

function faceOf({ state, reason }: Status): { tone: Tone; label: string } {
  if (state === "connected") return { tone: "good", label: "Live" }
  if (state === "partial") return { tone: "warn", label: "Partly live" }
  if (state === "connecting") return { tone: "warn", label: "Connecting" }
  return reason === "idle" ? { tone: "plain", label: "Idle" } : { tone: "bad", label: "Disconnected" }
}

function summaryOf({ state, reason, detail }: Status): string {
  if (state === "connected") return "Everything you follow is live."
  if (state === "partial" && reason === "refused") return "Some of what you follow was refused."
  const said = reason === null ? "A connection is being made." : REASONS[reason]
  return reason === "refused" && detail ? `${said} ${detail}` : said
}
