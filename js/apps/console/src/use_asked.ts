/** An answer of the API, asked for once and again when somebody wants it: for what no feed tells. */
import { useEffect, useState } from "react"

import { ApiError, ask } from "./api.ts"
import { session } from "./session.ts"

export interface Asked<T> {
  /** The last answer, and when it came; an error is that of a later attempt. */
  readonly answer: { readonly value: T; readonly at: number } | null
  readonly error: ApiError | null
  readonly isAsking: boolean
  readonly again: () => void
}

/** `settle` may give back parts of the answer before, where they are the same; give the same function each time. */
export function useAsked<T>(path: string, settle: (before: T | null, now: T) => T = asItIs): Asked<T> {
  const [round, setRound] = useState(0)
  const [found, setFound] = useState<Pick<Asked<T>, "answer" | "error"> & { round: number }>({ answer: null, error: null, round: -1 })
  useEffect(() => {
    const stop = new AbortController()
    ask<T>(path, { token: session.token, signal: stop.signal }).then(
      (now) => setFound(({ answer }) => ({ answer: { value: settle(answer?.value ?? null, now), at: Date.now() / 1000 }, error: null, round })),
      (error: unknown) => {
        if (stop.signal.aborted) return
        setFound(({ answer }) => ({ answer, error: error instanceof ApiError ? error : new ApiError(0, null), round }))
      },
    )
    return () => stop.abort()
  }, [path, round, settle])
  const { answer, error } = found
  return { answer, error, isAsking: found.round !== round, again: () => setRound((before) => before + 1) }
}

const asItIs = <T>(_: T | null, now: T): T => now
