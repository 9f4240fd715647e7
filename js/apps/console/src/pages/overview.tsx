/** How the server is doing. */
import { age, Details, EmptyState, Panel, PauseButton, useNow, usePausable } from "@tidewire/ui"
import type { ReactElement } from "react"

import { FeedGate } from "../feed_gate.tsx"
import { type Feed, useOverview } from "../feeds.ts"
import type { OverviewState } from "../feed_states.ts"
import { PageHead } from "../page_head.tsx"
import { HourCharts } from "./hour_charts.tsx"
import { LatencyPanel } from "./latency_panel.tsx"
import { OverviewTiles } from "./overview_tiles.tsx"

export default function OverviewPage(): ReactElement {
  const { shown, isPaused, toggle } = usePausable<Feed<OverviewState>>(useOverview())
  return (
    <div className="page">
      <PageHead title="Overview" about="What flows from commit to socket, second by second.">
        <PauseButton isPaused={isPaused} toggle={toggle} />
      </PageHead>
      <FeedGate feed={shown} title="Waiting for the first figures">
        {(state) => (
          <>
            <OverviewTiles state={state} />
            <LatencyPanel state={state} />
            <HourCharts points={state.points} />
            <div className="columns">
              <Counts title="Errors by code" counts={state.now.errors} empty="No warnings and no errors" />
              <Counts title="Refused or ended" counts={state.now.refused} empty="Nobody was turned away" />
              <Panel title="At this moment">
                <Details entries={[
                  ["Topics", state.now.topics],
                  ["Subscriptions", state.now.subscriptions],
                  ["Presences", state.now.presences],
                  ["Broadcasts a second", state.now.broadcasts_per_s.toFixed(1)],
                  ["Last change", <LastCommit key="last" at={state.now.last_commit_at} />],
                ]} />
              </Panel>
            </div>
          </>
        )}
      </FeedGate>
    </div>
  )
}

interface CountsProps {
  readonly title: string
  readonly counts: Readonly<Record<string, number>>
  readonly empty: string
}

function Counts({ title, counts, empty }: CountsProps): ReactElement {
  const entries = Object.entries(counts).filter(([, number]) => number > 0)
  return (
    <Panel title={title}>
      {entries.length > 0
        ? <Details entries={entries.sort(([, one], [, other]) => other - one).map(([code, number]) => [code, number])} />
        : <EmptyState title={empty}>Since the server started.</EmptyState>}
    </Panel>
  )
}

function LastCommit({ at }: { readonly at: number }): ReactElement {
  const now = useNow()
  return <>{at === 0 ? "none yet" : `${age(now / 1000 - at)} ago`}</>
}
