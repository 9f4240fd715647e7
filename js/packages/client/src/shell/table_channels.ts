/** Subscriptions to row changes: those that ask for the same share a channel, and each hears all of it. */
import { TidewireError } from "../errors.ts"
import { call } from "../store.ts"
import type { Gap, RealtimeEvent, RealtimeSubscription, TableSubscription } from "../types.ts"
import { type Binding, Bindings } from "../wire/bindings.ts"
import type { Payload } from "../wire/codec.ts"
import type { ChannelSession, Content } from "./channel_session.ts"
import type { Hub } from "./hub.ts"

/** Who follows a channel. `change` says for which of its bindings. */
export interface Follower {
  change(event: RealtimeEvent, bindings: readonly number[]): void
  ready(): void
  gap(gap: Gap): void
  error(error: TidewireError): void
  interrupted(): void
}

/** A channel that somebody follows; call `unsubscribe` once it is not wanted any more. */
export interface Following extends RealtimeSubscription {
  /** Go on from another position, with a new join. Only for a channel that is not shared. */
  restart(after: string): void
}

const MOST_NAME_CHARS = 40 // four bytes each at most, and a topic may have 255

export class TableChannels {
  readonly #hub: Hub
  readonly #shared = new Map<string, TableChannel>()
  #made = 0

  constructor(hub: Hub) {
    this.#hub = hub
  }

  /** Follow some tables on one channel. With `after` it is one of its own. */
  subscribe(tables: readonly TableSubscription[]): RealtimeSubscription {
    const after = tables.find((table) => table.after !== undefined)?.after
    if (tables.length === 0 || (after !== undefined && tables.length > 1)) {
      throw new TidewireError("SubscriptionInvalid", "subscribing: expected one table or more, and only one with `after`, got another number", {
        hint: "subscribe to each table with a position by itself",
      })
    }
    return this.follow(tables.map(asBinding), asFollower(tables), after)
  }

  follow(wishes: readonly Binding[], follower: Follower, after?: string): Following {
    const unique = [...new Map(wishes.map((wish) => [JSON.stringify(wish), wish])).values()]
    const channel = this.#channel(unique, after)
    // What is asked for twice is bound once; whoever asked for it hears it under each of its numbers.
    const numbers = wishes.map((wish) => channel.keys.indexOf(JSON.stringify(wish)))
    const stop = channel.add({
      ...follower,
      change(event, bindings) {
        follower.change(event, [...numbers.keys()].filter((index) => bindings.includes(numbers[index] ?? -1)))
      },
    })
    return { channel: channel.topic, status: channel.session.status, unsubscribe: stop, restart: (position) => channel.restart(position) }
  }

  #channel(wishes: readonly Binding[], after: string | undefined): TableChannel {
    const key = JSON.stringify(wishes)
    const found = after === undefined ? this.#shared.get(key) : undefined
    if (found && this.#hub.find(found.topic) === found.session) return found
    this.#made += 1
    const made = new TableChannel(this.#hub, `realtime:changes:${nameOf(wishes)}#${this.#made}`, new Bindings(wishes, after))
    if (after === undefined) this.#shared.set(key, made)
    for (const [other, { topic }] of this.#shared) if (!this.#hub.find(topic)) this.#shared.delete(other)
    return made
  }
}

class TableChannel implements Content {
  readonly topic: string
  readonly keys: readonly string[]
  readonly session: ChannelSession
  readonly #hub: Hub
  readonly #bindings: Bindings
  readonly #followers = new Set<Follower>()

  constructor(hub: Hub, topic: string, bindings: Bindings) {
    this.#hub = hub
    this.topic = topic
    this.#bindings = bindings
    this.keys = bindings.wishes.map((wish) => JSON.stringify(wish))
    this.session = hub.join(topic, this)
  }

  add(follower: Follower): () => void {
    this.#followers.add(follower)
    this.#hub.tell(this.session, "want")
    // Whoever comes to a channel that is joined is told so as others are: later.
    if (this.session.isJoined) queueMicrotask(() => this.#followers.has(follower) && this.session.isJoined && follower.ready())
    return () => {
      if (this.#followers.delete(follower) && this.#followers.size === 0) this.#hub.tell(this.session, "unwant")
    }
  }

  restart(after: string): void {
    this.#bindings.restart(after)
    this.#hub.tell(this.session, "restart")
  }

  config(): Payload {
    // With `wait` a table that cannot be followed refuses the join, and the reason can be told.
    return {
      postgres_changes: this.#bindings.asked(),
      postgres_changes_options: { wait: true, timeout: 9000 },
      presence: { enabled: false },
    }
  }

  joined(response: Payload): void {
    const gap = this.#bindings.live(response)
    for (const follower of [...this.#followers]) {
      if (gap) follower.gap(gap)
      follower.ready()
    }
  }

  message(event: string, payload: Payload): void {
    if (event !== "postgres_changes") return
    const told = this.#bindings.take(payload)
    if (told) for (const follower of [...this.#followers]) follower.change(told.event, told.bindings)
  }

  reached(position: string): void {
    this.#bindings.reached(position)
  }

  refused(reason: string): void {
    const error = new TidewireError("SubscriptionRefused", reason, { hint: "see docs/reference/row-changes.md#refusals" })
    for (const follower of [...this.#followers]) follower.error(error)
  }

  interrupted(): void {
    for (const follower of [...this.#followers]) follower.interrupted()
  }
}

function asBinding({ table, event, schema, filter, select, moves, truncate }: TableSubscription): Binding {
  return {
    event: event ?? "*",
    schema: schema ?? "public",
    table,
    ...(filter ? { filter } : {}),
    ...(select ? { select } : {}),
    ...(moves ? { moves } : {}),
    ...(truncate ? { truncate } : {}),
  }
}

function asFollower(tables: readonly TableSubscription[]): Follower {
  return {
    change: (event, bindings) => bindings.forEach((number) => call(tables[number]?.callback, event)),
    ready: () => tables.forEach((table) => call(table.onReady)),
    gap: (gap) => tables.forEach((table) => call(table.onGap, gap)),
    error: (error) => tables.forEach((table) => call(table.onError, error)),
    interrupted: () => undefined,
  }
}

function nameOf(wishes: readonly Binding[]): string {
  const names = wishes.map((wish) => `${wish.schema}.${wish.table}`).join("+")
  return names.slice(0, MOST_NAME_CHARS)
}
