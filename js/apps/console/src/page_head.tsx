/** The title of a page, and what can be done there. */
import type { ReactElement, ReactNode } from "react"

export interface PageHeadProps {
  readonly title: string
  readonly about: string
  readonly children?: ReactNode
}

export function PageHead({ title, about, children }: PageHeadProps): ReactElement {
  return (
    <div className="page-head">
      <div>
        <h1>{title}</h1>
        <p>{about}</p>
      </div>
      <div className="row">{children}</div>
    </div>
  )
}
