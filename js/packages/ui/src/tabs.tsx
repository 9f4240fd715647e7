/** Parts of a page of which one is shown. What is not shown is not there. */
import { Tabs as Radix } from "radix-ui"
import type { ReactElement, ReactNode } from "react"

export interface Tab<Id extends string> {
  readonly id: Id
  readonly title: string
  readonly content: ReactNode
}

export interface TabsProps<Id extends string> {
  readonly label: string
  readonly tabs: readonly Tab<Id>[]
  readonly shown: Id
  readonly onShow: (id: Id) => void
}

export function Tabs<Id extends string>({ label, tabs, shown, onShow }: TabsProps<Id>): ReactElement {
  return (
    <Radix.Root value={shown} onValueChange={(value) => onShow(value as Id)} className="tw-tabs">
      <Radix.List aria-label={label} className="tw-tab-list">
        {tabs.map(({ id, title }) => <Radix.Trigger key={id} value={id} className="tw-tab">{title}</Radix.Trigger>)}
      </Radix.List>
      {tabs.map(({ id, content }) => <Radix.Content key={id} value={id} tabIndex={-1}>{content}</Radix.Content>)}
    </Radix.Root>
  )
}
