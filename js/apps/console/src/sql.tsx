/** SQL or a command to read, and to take along. */
import { Button } from "@tidewire/ui"
import { toast } from "@tidewire/ui/toasts"
import type { ReactElement } from "react"

export function Sql({ title, text }: { readonly title: string; readonly text: string }): ReactElement {
  const copy = (): void => {
    navigator.clipboard.writeText(text).then(
      () => toast.success("Copied"),
      () => toast.error("The browser does not allow that. Mark the text and copy it."),
    )
  }
  return (
    <figure className="sql" aria-label={title}>
      <figcaption className="row">
        <span className="soft">{title}</span>
        {isSecureContext && <Button kind="link" onClick={copy}>Copy</Button>}
      </figcaption>
      <pre><code>{text}</code></pre>
    </figure>
  )
}
