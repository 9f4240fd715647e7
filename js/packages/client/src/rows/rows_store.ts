/** A list that stays exact: read once with its position, then followed from there. Loads again where that cannot be.

Theory of operation. The list says where it was read; the channel joins behind that place, and what comes is exactly
what is not in the list (D10). Whenever the list has to be loaded again, the channel joins again behind the new place,
and what it says before that is passed over. */
import { TidewireError } from "../errors.ts"
import { backoffMs } from "../machine/backoff.ts"
import type { Timing } from "../machine/timing.ts"
import type { Follower, Following } from "../shell/table_channels.ts"
import { Source, type Store } from "../store.ts"
import type { RealtimeEvent, Row } from "../types.ts"
import type { Binding } from "../wire/bindings.ts"
import { bindingOf, type RowsQuery, shapeOf } from "./query.ts"
import { applyChange } from "./reducer.ts"

export interface RowsChange {
  readonly eventType: RealtimeEvent["eventType"]
  readonly key: string | null
  readonly at: number
}

export interface RowsSnapshot<T = Row> {
  readonly state: "loading" | "live" | "stale" | "error"
  readonly rows: readonly T[]
  readonly error: TidewireError | null
  readonly isExact: boolean
  readonly isComplete: boolean
  readonly changed: RowsChange | null
}

export interface RowsStore<T = Row> extends Store<RowsSnapshot<T>> {
  reload(): void
}

export interface Loaded {
  readonly rows: readonly Row[]
  readonly position: string
  /** How many there are, where the server said so. */
  readonly total: number | null
}

export interface RowsParts {
  load(query: RowsQuery, signal: AbortSignal): Promise<Loaded>
  follow(binding: Binding, follower: Follower, after: string): Following
  readonly timing: Timing
}

const EMPTY: RowsSnapshot = { state: "loading", rows: [], error: null, isExact: true, isComplete: true, changed: null }
const RELOAD_SPREAD_MS = 500 // many pages hear of the same change

export class Rows implements RowsStore {
  readonly subscribe: Store<RowsSnapshot>["subscribe"]
  readonly #source: Source<RowsSnapshot>
  readonly #query: RowsQuery
  readonly #parts: RowsParts
  readonly #used: (isUsed: boolean) => void
  #following: Following | null = null
  #loading: AbortController | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  #rest: ReturnType<typeof setTimeout> | undefined
  #isStarted = false
  #isFollowing = false
  #mustLoad = false
  #hasMoves = true
  #failures = 0
  #window: number | null = null

  /** `used` is told when somebody begins to watch, and when nobody has for a while: the next one begins anew. */
  constructor(query: RowsQuery, parts: RowsParts, used: (isUsed: boolean) => void) {
    this.#query = query
    this.#parts = parts
    this.#used = used
    this.#source = new Source<RowsSnapshot>(EMPTY, (isWatched) => this.#watched(isWatched))
    this.subscribe = this.#source.subscribe
  }

  readonly getSnapshot = (): RowsSnapshot => this.#source.getSnapshot()

  /** Load the list again now. Needed only to try again after an error. */
  readonly reload = (): void => {
    if (!this.#isStarted) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#isFollowing = false
    this.#mustLoad = true
    this.#loading?.abort()
    const loading = (this.#loading = new AbortController())
    const { state } = this.getSnapshot()
    if (state === "live") this.#change({ state: "stale" })
    if (state === "error") this.#change({ state: "loading", error: null })
    this.#parts
      .load(this.#query, loading.signal)
      .then((loaded) => loading.signal.aborted || this.#loaded(loaded))
      .catch((error: unknown) => loading.signal.aborted || this.#failed(error))
  }

  /** Whether nobody has watched it yet, or for a while. */
  get isIdle(): boolean {
    return !this.#isStarted
  }

  #watched(isWatched: boolean): void {
    clearTimeout(this.#rest)
    if (!isWatched) {
      this.#rest = setTimeout(() => this.stop(), this.#parts.timing.leaveMs)
    } else if (!this.#isStarted) {
      this.#isStarted = true
      this.#used(true)
      this.reload()
    }
  }

  /** Follow no more, and forget the list. */
  stop(): void {
    this.#isStarted = this.#isFollowing = false
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#loading?.abort()
    this.#following?.unsubscribe()
    this.#following = null
    this.#source.set(EMPTY)
    this.#used(false)
  }

  #loaded({ rows, position, total }: Loaded): void {
    this.#failures = 0
    this.#mustLoad = false
    const isComplete = total === null || total <= rows.length
    this.#window = this.#query.limit ?? (isComplete ? null : rows.length)
    this.#change({ rows, isComplete, error: null, state: "stale" })
    if (this.#following) this.#following.restart(position)
    else this.#follow(position)
  }

  #follow(position: string): void {
    const binding = bindingOf(this.#query, this.#hasMoves)
    this.#following = this.#parts.follow(binding, {
      change: (event) => this.#isFollowing && this.#apply(event),
      ready: () => this.#ready(),
      gap: () => this.reload(),
      error: (error) => this.#refused(error, position),
      interrupted: () => {
        if (this.getSnapshot().state === "live") this.#change({ state: "stale" })
      },
    }, position)
  }

  #ready(): void {
    if (this.#mustLoad) return // what the channel tells now is behind a place that the list does not have
    this.#isFollowing = true
    this.#change({ state: "live" })
  }

  #apply(event: RealtimeEvent): void {
    const before = this.getSnapshot().rows
    const { rows, key, mustReload } = applyChange(before, event, shapeOf(this.#query, this.#window))
    if (rows !== before) this.#change({ rows, changed: { eventType: event.eventType, key, at: Date.now() } })
    if (mustReload && this.#timer === undefined) this.#reloadIn(Math.random() * RELOAD_SPREAD_MS)
  }

  #reloadIn(pauseMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.reload, pauseMs)
  }

  #failed(error: unknown): void {
    const known = error instanceof TidewireError ? error : new TidewireError("RowsUnreachable", "loading rows: expected an answer, got none", { retryable: true })
    this.#change({ error: known, ...(known.retryable ? {} : { state: "error" as const }) })
    this.#failures += 1
    if (known.retryable) this.#reloadIn(backoffMs(this.#failures, this.#parts.timing, Math.random))
  }

  /** Rows that leave are told only where the log has the old ones; without, the list is as good as it can be. */
  #refused(error: TidewireError, position: string): void {
    this.#following?.unsubscribe()
    this.#following = null
    if (this.#hasMoves && error.message.includes("`moves`")) {
      this.#hasMoves = false
      this.#change({ isExact: false })
      this.#follow(position)
    } else {
      this.#change({ state: "error", error })
    }
  }

  #change(values: Partial<RowsSnapshot>): void {
    this.#source.set({ ...this.getSnapshot(), ...values })
  }
}
