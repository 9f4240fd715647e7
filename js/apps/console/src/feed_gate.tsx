/** Stands in for a page until its feed has told something, and above it when the feed is away. */
import { reconnectHint } from "./feed_words.ts"
import { useRealtimeConnection } from "@tidewire/react"
import { ErrorState, LoadingState, StaleNote } from "@tidewire/ui"
import type { ReactElement, ReactNode } from "react"

import type { Feed } from "./feeds.ts"

export interface FeedGateProps<S> {
  readonly feed: Feed<S>
  readonly title: string
  readonly children: (state: S) => ReactNode
}

export function FeedGate<S>({ feed, title, children }: FeedGateProps<S>): ReactElement {
  const { reconnect } = useRealtimeConnection()
  const { state, status } = feed
  if (status.state === "refused") {
    return <ErrorState title="The server does not tell you this" onRetry={reconnect}>{reconnectHint(status.reason)}</ErrorState>
  }
  if (state === null) return <LoadingState title={title} />
  const isAway = status.state !== "joined"
  return (
    <>
      {isAway && <StaleNote>The connection is away. What you see is how it was.</StaleNote>}
      {children(state)}
    </>
  )
}
