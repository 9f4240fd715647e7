/** Short messages that come and go. One region for a page, in its theme. */
import type { ReactElement } from "react"
import { Toaster } from "sonner"
import "sonner/dist/styles.css"

import { useTheme } from "./theme.ts"

export { toast } from "sonner"

/** Put it into a page once, from the start, so that screen readers know the region before anything is said in it. */
export function Toasts(): ReactElement {
  const { shown } = useTheme()
  return <Toaster theme={shown} position="bottom-right" visibleToasts={3} duration={5000} closeButton />
}
