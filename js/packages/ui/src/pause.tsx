/** Holds still what changes by itself, for as long as somebody reads it. */
import { Pause, Play } from "lucide-react"
import { type ReactElement, useState } from "react"

import { Button } from "./basics.tsx"

export interface Pausable<T> {
  readonly shown: T
  readonly isPaused: boolean
  readonly toggle: () => void
}

/** Show `shown` instead of `value`, and a PauseButton. */
export function usePausable<T>(value: T): Pausable<T> {
  const [held, setHeld] = useState<{ readonly value: T } | null>(null)
  return {
    shown: held ? held.value : value,
    isPaused: held !== null,
    toggle: () => setHeld(held ? null : { value }),
  }
}

export function PauseButton({ isPaused, toggle }: Omit<Pausable<unknown>, "shown">): ReactElement {
  const Icon = isPaused ? Play : Pause
  return (
    <Button onClick={toggle} aria-pressed={isPaused}>
      <Icon size={15} aria-hidden />
      {isPaused ? "Go on" : "Pause"}
    </Button>
  )
}
