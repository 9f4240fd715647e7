/** Something to fill in: its name, a word of help, and beside it what is wrong with it and what helps. */
import { type ReactElement, type ReactNode, useId } from "react"

export interface Problem {
  readonly message: string
  readonly remedy: string
}

/** What the control inside has to be given. */
export interface FieldControl {
  readonly id: string
  readonly "aria-invalid": boolean
  readonly "aria-describedby": string | undefined
}

export interface FieldProps {
  readonly label: string
  readonly hint?: ReactNode
  readonly problem?: Problem | undefined
  readonly children: (control: FieldControl) => ReactNode
}

export function Field({ label, hint, problem, children }: FieldProps): ReactElement {
  const id = useId()
  const described = [hint === undefined ? "" : `${id}-hint`, problem ? `${id}-problem` : ""].filter(Boolean).join(" ")
  return (
    <div className="tw-field">
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-invalid": problem !== undefined, "aria-describedby": described || undefined })}
      {hint !== undefined && <p id={`${id}-hint`} className="tw-field-hint">{hint}</p>}
      {problem && <p id={`${id}-problem`} className="tw-field-problem"><strong>{problem.message}</strong> {problem.remedy}</p>}
    </div>
  )
}
