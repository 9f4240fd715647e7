/** A window above the page: the browser's own, which keeps the focus inside, and gives it back. */
import { X } from "lucide-react"
import { type ReactElement, type ReactNode, useLayoutEffect, useRef } from "react"

import { Button } from "./basics.tsx"

export interface DialogProps {
  readonly title: string
  readonly onClose: () => void
  readonly children: ReactNode
}

/** Render it to open it. */
export function Dialog({ title, onClose, children }: DialogProps): ReactElement {
  const element = useRef<HTMLDialogElement>(null)
  // Closed while it still is in the page, it gives the focus back to what opened it.
  useLayoutEffect(() => {
    const shown = element.current
    shown?.showModal()
    return () => shown?.close()
  }, [])
  return (
    <dialog ref={element} className="tw-dialog" aria-label={title} onCancel={onClose}>
      <div className="tw-dialog-body">
        <div className="tw-dialog-head">
          <h2>{title}</h2>
          <Button kind="quiet" onClick={onClose} aria-label="Close"><X size={16} aria-hidden /></Button>
        </div>
        {children}
      </div>
    </dialog>
  )
}
