/** Who reads, and what they ask for: the same for a verdict and for listening. */
import { Badge, Field } from "@tidewire/ui"
import { type ReactElement, type ReactNode, useId, useState } from "react"

import type { Problems } from "../inspector/reading.ts"
import { EVENTS, type Wish } from "../inspector/wish.ts"

export interface WishParts {
  readonly wish: Wish
  /** Those that are published; null while nobody knows. */
  readonly tables: readonly string[] | null
  readonly onChange: (change: Partial<Wish>) => void
}

export interface WishFieldsProps extends WishParts {
  readonly problems: Problems
}

const ROLES = ["authenticated", "anon", "service_role"]

export function WishFields({ wish, tables, onChange, problems }: WishFieldsProps): ReactElement {
  return (
    <>
      <TextField name="table" label="Table" parts={{ wish, onChange, problems }} choices={tables ?? []} placeholder="public.orders"
        hint={tables?.length === 0 ? <>No table is published yet: <code>tidewire publish TABLE</code></> : undefined} />
      <TextField name="role" label="Role" parts={{ wish, onChange, problems }} choices={ROLES} />
      <TextField name="user" label="User" parts={{ wish, onChange, problems }} placeholder="nobody, or the claim sub" />
      <TextField name="filter" label="Filter" parts={{ wish, onChange, problems }} placeholder="status=eq.open" />
      <MoreFields wish={wish} onChange={onChange} problems={problems} />
    </>
  )
}

function MoreFields({ wish, onChange, problems }: Omit<WishFieldsProps, "tables">): ReactElement {
  const isUsed = wish.claims !== "" || wish.select !== "" || wish.wanted !== "*" || wish.moves
  const [isOpen, setIsOpen] = useState(isUsed)
  return (
    <details className="more" open={isOpen || problems.claims !== undefined} onToggle={(event) => setIsOpen(event.currentTarget.open)}>
      <summary>Claims, columns, events {isUsed && <Badge>in use</Badge>}</summary>
      <div className="fields">
        <Field label="More claims" problem={problems.claims} hint="JSON; role and user have fields of their own">
          {(control) => <textarea {...control} rows={2} spellCheck={false} placeholder='{"team": 3}' value={wish.claims} onChange={(event) => onChange({ claims: event.target.value })} />}
        </Field>
        <TextField name="select" label="Columns" parts={{ wish, onChange, problems }} placeholder="all" hint="Names with commas between them" />
        <div className="pair">
          <Field label="Events asked for">
            {(control) => (
              <select {...control} value={wish.wanted} onChange={(event) => onChange({ wanted: event.target.value as Wish["wanted"] })}>
                <option value="*">all</option>
                {EVENTS.map((each) => <option key={each}>{each}</option>)}
              </select>
            )}
          </Field>
          <label className="check">
            <input type="checkbox" checked={wish.moves} onChange={(event) => onChange({ moves: event.target.checked })} />
            Moves too
          </label>
        </div>
      </div>
    </details>
  )
}

export interface TextFieldProps {
  readonly name: "table" | "role" | "user" | "filter" | "select" | "topic"
  readonly label: string
  readonly parts: Omit<WishFieldsProps, "tables">
  readonly choices?: readonly string[]
  readonly placeholder?: string
  readonly hint?: ReactNode
}

export function TextField({ name, label, parts: { wish, onChange, problems }, choices = [], placeholder, hint }: TextFieldProps): ReactElement {
  const choicesId = useId()
  return (
    <Field label={label} problem={problems[name]} hint={hint}>
      {(control) => (
        <>
          <input {...control} value={wish[name]} placeholder={placeholder} autoComplete="off" autoCapitalize="none" spellCheck={false}
            list={choices.length > 0 ? choicesId : undefined} onChange={(event) => onChange({ [name]: event.target.value })} />
          {choices.length > 0 && <datalist id={choicesId}>{choices.map((choice) => <option key={choice} value={choice} />)}</datalist>}
        </>
      )}
    </Field>
  )
}

/** After a form was refused, go on where something is wrong. */
export function focusProblem(form: HTMLFormElement): void {
  requestAnimationFrame(() => form.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus())
}
