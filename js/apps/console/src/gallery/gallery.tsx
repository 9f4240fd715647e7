/** Every component in every state, for who builds with them and for the tests that look at them. */
import { Badge, Button, ConnectionStatus, Details, Dialog, EmptyState, ErrorState, Field, LoadingState, Panel, PauseButton, Sparkline, StaleNote, StatTile, Tabs, ThemeSwitch, usePausable } from "@tidewire/ui"
import { toast, Toasts } from "@tidewire/ui/toasts"
import { type ReactElement, useState } from "react"

import { Wave } from "../shell.tsx"
import { GalleryCharts } from "./gallery_charts.tsx"
import { GalleryTable } from "./gallery_table.tsx"
import { GAPS, PEAKS, statuses, WAVE } from "./samples.ts"

const nothing = (): void => undefined

export default function GalleryPage(): ReactElement {
  const [now] = useState(() => Date.now())
  return (
    <main className="gallery">
      <title>Gallery · Tidewire</title>
      <div className="page-head">
        <span className="brand"><Wave />Tidewire</span>
        <ThemeSwitch />
      </div>
      <div>
        <h1>Gallery</h1>
        <p className="soft">Each component in every state, with made-up data.</p>
      </div>
      <Panel title="Connection status">
        <div className="row">
          {statuses(now).map(({ name, status }) => <ConnectionStatus key={name} status={status} onReconnect={() => toast("Reconnecting")} />)}
        </div>
      </Panel>
      <Tiles />
      <GalleryTable />
      <GalleryCharts />
      <Panel title="Sparklines">
        <div className="columns">
          <Sparkline values={WAVE} label="A calm course" />
          <Sparkline values={PEAKS} label="A course with peaks" />
          <Sparkline values={GAPS} label="A course with a gap" />
          <Sparkline values={[]} label="Nothing yet" />
        </div>
      </Panel>
      <States />
      <Smalls />
      <Forms />
      <Toasts />
    </main>
  )
}

function Tiles(): ReactElement {
  return (
    <Panel title="Stat tiles">
      <div className="tiles">
        <StatTile label="Deliveries" value="1,204" unit="per s"><Sparkline values={WAVE} label="Deliveries" /></StatTile>
        <StatTile label="Latency" value="–" note="nothing was delivered lately" />
        <StatTile label="Commit to socket, p99" value="180" unit="ms" tone="warn" reason="One in a hundred took 180 ms or more." remedy="Look for large transactions." />
        <StatTile label="Retention headroom" value="96" unit="MiB" tone="bad" reason="96 MiB more of log, and Postgres gives up the slot." remedy="Raise max_slot_wal_keep_size." />
      </div>
    </Panel>
  )
}

function States(): ReactElement {
  return (
    <Panel title="States">
      <div className="columns">
        <EmptyState title="No bookings yet">The first one appears here by itself.</EmptyState>
        <LoadingState title="Loading bookings" />
        <ErrorState title="The list could not be loaded" onRetry={nothing}>The server does not answer. Nothing was lost.</ErrorState>
        <StaleNote>The connection is away. What you see is how it was.</StaleNote>
      </div>
    </Panel>
  )
}

function Smalls(): ReactElement {
  const [isOpen, setIsOpen] = useState(false)
  const pausable = usePausable(0)
  return (
    <Panel title="Buttons, badges, messages">
      <div className="row">
        <Button onClick={() => toast("A row arrived", { description: "Booking 4104 of Dunya Haddad" })}>Say something</Button>
        <Button kind="primary" onClick={() => toast.success("Saved")}>Save</Button>
        <Button kind="danger" onClick={() => toast.error("It did not work", { description: "The server does not answer." })}>Fail</Button>
        <Button kind="quiet" onClick={() => setIsOpen(true)}>Open a window</Button>
        <Button disabled>Not now</Button>
        <PauseButton isPaused={pausable.isPaused} toggle={pausable.toggle} />
      </div>
      <div className="row">
        <Badge>plain</Badge><Badge tone="good">good</Badge><Badge tone="warn">warn</Badge><Badge tone="bad">bad</Badge>
      </div>
      {isOpen && (
        <Dialog title="A window" onClose={() => setIsOpen(false)}>
          <Details entries={[["User", "ada"], ["Role", "authenticated"], ["Channels", 3]]} />
        </Dialog>
      )}
    </Panel>
  )
}

function Forms(): ReactElement {
  const [part, setPart] = useState("table")
  return (
    <Panel title="Fields and tabs">
      <Tabs
        label="A form in two parts"
        shown={part}
        onShow={setPart}
        tabs={[
          { id: "table", title: "Table", content: <Field label="Table" hint="One that is published">{(control) => <input {...control} placeholder="public.bookings" />}</Field> },
          { id: "filter", title: "Filter", content: <p className="soft">Nothing to fill in here.</p> },
        ]}
      />
      <Field label="Filter" problem={{ message: "This is no filter.", remedy: "Write column=operator.value." }}>
        {(control) => <input {...control} defaultValue="status: open" />}
      </Field>
    </Panel>
  )
}
