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

interface Found<T> extends Pick<Asked<T>, "answer" | "error"> {
  readonly round: number
}

/** `settle` may give back parts of the answer before, where they are the same; give the same function each time. */
export function useAsked<T>(path: string, settle: (before: T | null, now: T) => T = asItIs): Asked<T> {
  const [round, setRound] = useState(0)
  const [{ answer, error, round: answered }, setFound] = useState<Found<T>>({ answer: null, error: null, round: -1 })
  useEffect(() => {
    const stop = new AbortController()
    const settleWith = (next: (before: Found<T>) => Omit<Found<T>, "round">): void => {
      if (!stop.signal.aborted) setFound((before) => ({ ...next(before), round })) // a body that was cut off is no answer
    }
    ask<T>(path, { token: session.token, signal: stop.signal }).then(
      (now) => settleWith(({ answer }) => ({ answer: { value: settle(answer?.value ?? null, now), at: Date.now() / 1000 }, error: null })),
      (error: unknown) => settleWith(({ answer }) => ({ answer, error: error instanceof ApiError ? error : new ApiError(0, null) })),
    )
    return () => stop.abort()
  }, [path, round, settle])
  return { answer, error, isAsking: answered !== round, again: () => setRound((before) => before + 1) }
}

const asItIs = <T>(_: T | null, now: T): T => now
