/** Looks through the eyes of any reader: why a row does or does not reach them, and what they get to hear. */
import { Button, Tabs } from "@tidewire/ui"
import { toast } from "@tidewire/ui/toasts"
import { Link2 } from "lucide-react"
import { type ReactElement, useEffect, useState } from "react"
import { useLocation, useNavigate } from "react-router"

import { post } from "../api.ts"
import { Listener, type Minted } from "../inspector/listener.ts"
import { EMPTY, MOST_LINK_CHARS, readLink, type View, type Wish, writeLink } from "../inspector/wish.ts"
import { PageHead } from "../page_head.tsx"
import { session } from "../session.ts"
import { InspectorListen } from "./inspector_listen.tsx"
import { InspectorWhy } from "./inspector_why.tsx"
import { useTables } from "./use_tables.ts"
import { useVerdict } from "./use_verdict.ts"

const LIFETIME_S = 900

interface Shown {
  readonly view: View
  readonly wish: Wish
  /** What stands behind the # of the address: another one is a link that somebody followed while here. */
  readonly hash: string
  /** But for the one that was made here, which may have less in it than the form. */
  readonly own: string | null
}

export default function InspectorPage(): ReactElement {
  const { hash } = useLocation()
  const navigate = useNavigate()
  const [shown, setShown] = useState<Shown>(() => ({ hash, own: null, ...(readLink(hash) ?? { view: "why", wish: EMPTY }) }))
  const [listener] = useState(() => new Listener((reader) => post<Minted>("/tokens", { ...reader, lifetime_s: LIFETIME_S }, session.token)))
  const tables = useTables()
  useEffect(() => () => listener.stop(), [listener])
  const { view, wish } = shown
  const asking = useVerdict(wish)
  if (shown.hash !== hash) setShown({ ...shown, hash, ...(hash === shown.own ? null : readLink(hash)) })
  const share = (): void => {
    const link = writeLink(view, wish)
    setShown({ ...shown, own: link })
    void navigate({ hash: link }, { replace: true })
    copy(`${location.origin}${location.pathname}${link}`, wish)
  }
  const parts = { wish, tables, onChange: (change: Partial<Wish>) => setShown((now) => ({ ...now, wish: { ...now.wish, ...change } })) }
  return (
    <div className="page">
      <PageHead title="Inspector" about="Look through the eyes of any reader.">
        <Button onClick={share}><Link2 size={15} aria-hidden />Copy link</Button>
      </PageHead>
      <Tabs<View>
        label="What to find out"
        shown={view}
        onShow={(next) => setShown((now) => ({ ...now, view: next }))}
        tabs={[
          { id: "why", title: "Why did it not arrive?", content: <InspectorWhy {...parts} asking={asking} /> },
          { id: "listen", title: "Listen", content: <InspectorListen {...parts} listener={listener} /> },
        ]}
      />
    </div>
  )
}

/** Where a browser lets nobody at its clipboard, as without HTTPS, the address of the page will do. */
function copy(link: string, { row, old, claims }: Wish): void {
  const isWhole = [row, old, claims].every((text) => text.length <= MOST_LINK_CHARS)
  const description = isWhole ? "It has the row in it, and asks nothing by itself." : "Without what is too long for a link."
  const clipboard = navigator.clipboard as Clipboard | undefined
  const done = clipboard?.writeText(link) ?? Promise.reject(new Error("no clipboard"))
  done.then(
    () => toast.success("The link is copied", { description }),
    () => toast("The address of this page is the link now", { description }),
  )
}
