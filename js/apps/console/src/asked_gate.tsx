/** Stands in for what is asked for until it is answered, and above it when it could not be had again. */
import { ErrorState, LoadingState, StaleNote, timeOfDay } from "@tidewire/ui"
import type { ReactElement, ReactNode } from "react"

import type { Asked } from "./use_asked.ts"

export interface AskedGateProps<T> {
  readonly asked: Asked<T>
  readonly title: string
  readonly children: (value: T) => ReactNode
}

export function AskedGate<T>({ asked: { answer, error, again }, title, children }: AskedGateProps<T>): ReactElement {
  if (!answer) return error ? <ErrorState title={error.message} onRetry={again}>{error.hint}</ErrorState> : <LoadingState title={title} />
  return (
    <>
      {error && <StaleNote>{`${error.message.replace(/\.?$/, ".")} What you see was read at ${timeOfDay(answer.at)}.`}</StaleNote>}
      {children(answer.value)}
    </>
  )
}
