/** A value that can be watched: a snapshot never changes, and is the same object until something has changed. */
export interface Store<S> {
  subscribe(listener: () => void): () => void
  getSnapshot(): S
}

/** A store that its owner sets. Listeners may come and go while they are being told. */
export class Source<S> implements Store<S> {
  #snapshot: S
  readonly #listeners = new Set<{ tell: () => void }>()
  readonly #onWatched: (isWatched: boolean) => void

  constructor(snapshot: S, onWatched: (isWatched: boolean) => void = () => undefined) {
    this.#snapshot = snapshot
    this.#onWatched = onWatched
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    const entry = { tell: listener } // so that one function may be given twice
    this.#listeners.add(entry)
    if (this.#listeners.size === 1) this.#onWatched(true)
    return () => {
      if (this.#listeners.delete(entry) && this.#listeners.size === 0) this.#onWatched(false)
    }
  }

  readonly getSnapshot = (): S => this.#snapshot

  /** Replace the snapshot, and tell everybody. */
  set(snapshot: S): void {
    this.#snapshot = snapshot
    for (const { tell } of [...this.#listeners]) call(tell)
  }
}

/** Call what an application gave us: what it throws is reported as uncaught, and disturbs nobody else. */
export function call<A extends unknown[]>(listener: ((...values: A) => void) | undefined, ...values: A): void {
  try {
    listener?.(...values)
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
