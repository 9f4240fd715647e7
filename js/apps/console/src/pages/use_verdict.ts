/** Asks the server for verdicts, one at a time, and keeps the last one. */
import { type SubmitEvent, useEffect, useRef, useState } from "react"

import { ApiError, ask } from "../api.ts"
import { blame, bodyOf, type Problems, type Question, readQuestion, without } from "../inspector/reading.ts"
import type { Verdict } from "../inspector/verdict.ts"
import type { Wish } from "../inspector/wish.ts"
import { session } from "../session.ts"
import { focusProblem } from "./inspector_fields.tsx"

export type Answer =
  | { readonly kind: "none" | "asking" }
  | { readonly kind: "refused"; readonly error: ApiError }
  | { readonly kind: "told"; readonly verdict: Verdict; readonly question: Question }

export interface Asking {
  readonly answer: Answer
  readonly problems: Problems
  readonly submit: (event: SubmitEvent<HTMLFormElement>) => void
  /** What was wrong with these fields is being mended. */
  readonly forget: (names: readonly (keyof Wish)[]) => void
}

export function useVerdict(wish: Wish): Asking {
  const [answer, setAnswer] = useState<Answer>({ kind: "none" })
  const [problems, setProblems] = useState<Problems>({})
  const asked = useRef<AbortController | null>(null)
  useEffect(() => () => asked.current?.abort(), [])
  const submit = (event: SubmitEvent<HTMLFormElement>): void => {
    event.preventDefault()
    const form = event.currentTarget
    const reading = readQuestion(wish)
    setProblems("problems" in reading ? reading.problems : {})
    if ("problems" in reading) {
      focusProblem(form)
      return
    }
    asked.current?.abort()
    const { signal } = (asked.current = new AbortController())
    setAnswer({ kind: "asking" })
    ask<Verdict>("/verdict", { method: "POST", body: bodyOf(reading.read), token: session.token, signal }).then(
      (verdict) => setAnswer({ kind: "told", verdict, question: reading.read }),
      (failure: unknown) => {
        if (signal.aborted) return
        const error = failure instanceof ApiError ? failure : new ApiError(0, null)
        const blamed = blame(error)
        setAnswer(blamed ? { kind: "none" } : { kind: "refused", error })
        if (!blamed) return
        setProblems(blamed)
        focusProblem(form)
      },
    )
  }
  const forget = (names: readonly (keyof Wish)[]): void => {
    setProblems((now) => without(now, names))
  }
  return { answer, problems, submit, forget }
}
