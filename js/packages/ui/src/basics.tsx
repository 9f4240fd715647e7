/** The small parts that all others are made of. */
import type { ButtonHTMLAttributes, ReactElement, ReactNode } from "react"

export type Tone = "plain" | "good" | "warn" | "bad"

export interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  readonly kind?: "plain" | "primary" | "danger" | "quiet" | "link"
}

export function Button({ kind = "plain", className = "", ...others }: ButtonProps): ReactElement {
  return <button type="button" data-kind={kind} className={`tw-button ${className}`} {...others} />
}

export function Badge({ tone = "plain", children }: { readonly tone?: Tone; readonly children: ReactNode }): ReactElement {
  return <span className="tw-badge" data-tone={tone}>{children}</span>
}

export interface PanelProps {
  readonly title: string
  readonly actions?: ReactNode
  readonly children: ReactNode
}

export function Panel({ title, actions, children }: PanelProps): ReactElement {
  return (
    <section className="tw-panel" aria-label={title}>
      <div className="tw-panel-head">
        <h2>{title}</h2>
        {actions}
      </div>
      {children}
    </section>
  )
}

/** Pairs of a name and a value. */
export function Details({ entries }: { readonly entries: readonly (readonly [string, ReactNode])[] }): ReactElement {
  return (
    <dl className="tw-details">
      {entries.map(([name, value]) => [<dt key={`${name}-name`}>{name}</dt>, <dd key={name}>{value}</dd>])}
    </dl>
  )
}
