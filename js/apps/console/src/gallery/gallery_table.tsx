/** A table in which rows come and change, as fast as somebody asks for it. */
import { Badge, Button, type Column, DataTable, EmptyState, Panel } from "@tidewire/ui"
import { type ReactElement, useState } from "react"

import { type Booking, BOOKINGS, oneMore } from "./samples.ts"

const TONES = { pending: "warn", confirmed: "good", completed: "plain" } as const
const COLUMNS: readonly Column<Booking>[] = [
  { id: "id", header: "No.", cell: ({ id }) => id },
  { id: "guest", header: "Guest", cell: ({ guest }) => guest },
  { id: "status", header: "Status", cell: ({ status }) => <Badge tone={TONES[status]}>{status}</Badge> },
  { id: "price", header: "Price", align: "end", cell: ({ price }) => price.toLocaleString("en") },
]

export function GalleryTable(): ReactElement {
  const [rows, setRows] = useState(BOOKINGS)
  return (
    <Panel title="Live table" actions={<Button onClick={() => setRows(oneMore)}>Let a row arrive</Button>}>
      <DataTable caption="Bookings" columns={COLUMNS} rows={rows} keyOf={({ id }) => id} empty={null} />
      <DataTable caption="No bookings" columns={COLUMNS} rows={[]} keyOf={({ id }) => id} empty={<EmptyState title="No bookings yet" />} />
    </Panel>
  )
}
