/** Made-up data for the gallery: the same every time, so that its pictures are. */
import type { ConnectionStatus } from "@tidewire/client"

const BASE: ConnectionStatus = {
  state: "connected", reason: null, detail: null, since: 0, attempt: 0, nextRetryAt: null,
  transport: "websocket", rttMs: 4, channels: { joined: 3, wanted: 3 }, refused: [],
}

export function statuses(now: number): readonly { readonly name: string; readonly status: ConnectionStatus }[] {
  const since = now - 95_000
  return [
    { name: "Connected", status: { ...BASE, since } },
    { name: "Partial", status: { ...BASE, since, state: "partial", reason: "refused", channels: { joined: 2, wanted: 3 }, refused: [{ topic: "realtime:team:7", reason: "not allowed to read" }] } },
    { name: "Connecting", status: { ...BASE, since, state: "connecting", reason: null, transport: null, rttMs: null, attempt: 1, channels: { joined: 0, wanted: 3 } } },
    { name: "Disconnected", status: { ...BASE, since, state: "disconnected", reason: "unreachable", transport: null, rttMs: null, attempt: 4, nextRetryAt: now + 8000, channels: { joined: 0, wanted: 3 } } },
    { name: "Idle", status: { ...BASE, since, state: "disconnected", reason: "idle", transport: null, rttMs: null, channels: { joined: 0, wanted: 0 } } },
  ]
}

const POINTS = 120
export const TIMES = Array.from({ length: POINTS }, (_, index) => 1_790_000_000 + index * 30)
export const WAVE = TIMES.map((_, index) => 12 + 6 * Math.sin(index / 9) + 3 * Math.sin(index / 2.3))
export const PEAKS = WAVE.map((value, index) => value * (index % 17 === 0 ? 3.2 : 1.8))
export const GAPS = WAVE.map((value, index) => (index > 50 && index < 70 ? null : value))

export const BOUNDS = Array.from({ length: 40 }, (_, step) => 0.1 * 1.25 ** step)
export const HILL = BOUNDS.map((_, step) => (step === 34 ? 3 : Math.round(240 * Math.exp(-(((step - 14) / 4) ** 2)))))
export const MARKS = [{ label: "p50", at: 2.3 }, { label: "p95", at: 7 }, { label: "p99", at: 198 }]

export interface Booking {
  readonly id: number
  readonly guest: string
  readonly status: "pending" | "confirmed" | "completed"
  readonly price: number
}

export const BOOKINGS: readonly Booking[] = [
  { id: 4101, guest: "Ada Moreno", status: "completed", price: 120_000 },
  { id: 4102, guest: "Bo Lindqvist", status: "confirmed", price: 86_500 },
  { id: 4103, guest: "Chidi Okafor", status: "pending", price: 240_000 },
]
const GUESTS = ["Dunya Haddad", "Eero Salo", "Frida Kovač", "Goro Ito"]

/** What the table is after another booking came and the oldest pending one was confirmed. */
export function oneMore(bookings: readonly Booking[]): readonly Booking[] {
  const id = Math.max(...bookings.map((booking) => booking.id)) + 1
  const guest = GUESTS[id % GUESTS.length] ?? ""
  const pending = bookings.find(({ status }) => status === "pending")
  const after = bookings.map((booking) => (booking === pending ? { ...booking, status: "confirmed" as const } : booking))
  return [...after.slice(-5), { id, guest, status: "pending", price: 60_000 + (id % 7) * 11_000 }]
}
