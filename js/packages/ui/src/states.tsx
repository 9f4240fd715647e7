/** What stands where data is not there yet, is not there at all, could not be had, or is old. */
import { CircleAlert, Clock3, Waves } from "lucide-react"
import type { ReactElement, ReactNode } from "react"

import { Button } from "./basics.tsx"

interface StateProps {
  readonly title: string
  readonly children?: ReactNode
}

export function EmptyState({ title, children }: StateProps): ReactElement {
  return (
    <div className="tw-state">
      <Waves aria-hidden />
      <strong>{title}</strong>
      {children !== undefined && <p>{children}</p>}
    </div>
  )
}

export function LoadingState({ title, lines = 4 }: StateProps & { readonly lines?: number }): ReactElement {
  return (
    <div role="status" className="tw-skeleton">
      <em className="tw-hidden">{title}</em>
      {Array.from({ length: lines }, (_, line) => <span key={line} />)}
    </div>
  )
}

export function ErrorState({ title, children, onRetry }: StateProps & { readonly onRetry?: () => void }): ReactElement {
  return (
    <div role="alert" className="tw-state" data-tone="bad">
      <CircleAlert aria-hidden />
      <strong>{title}</strong>
      {children !== undefined && <p>{children}</p>}
      {onRetry && <Button onClick={onRetry}>Try again</Button>}
    </div>
  )
}

/** Stands above data that may have changed meanwhile. */
export function StaleNote({ children }: { readonly children: ReactNode }): ReactElement {
  return (
    <p role="status" className="tw-stale">
      <Clock3 size={16} aria-hidden />
      <span>{children}</span>
    </p>
  )
}
