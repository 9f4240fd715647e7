/** What stands around every page: where one is, where one can go, the theme and the connection. */
import { Button, LiveConnectionStatus, ThemeSwitch } from "@tidewire/ui"
import { Toasts } from "@tidewire/ui/toasts"
import { Activity, Cable, LogOut, ScanSearch, ScrollText, Table2 } from "lucide-react"
import { type ReactElement, type ReactNode, useEffect, useRef } from "react"
import { NavLink, useLocation } from "react-router"

const PAGES = [
  { to: "/", title: "Overview", Icon: Activity },
  { to: "/connections", title: "Connections", Icon: Cable },
  { to: "/inspector", title: "Inspector", Icon: ScanSearch },
  { to: "/tables", title: "Tables", Icon: Table2 },
  { to: "/log", title: "Log", Icon: ScrollText },
] as const

export interface ShellProps {
  readonly onSignOut: () => void
  readonly children: ReactNode
}

export function Shell({ onSignOut, children }: ShellProps): ReactElement {
  const main = useRef<HTMLElement>(null)
  const title = useTitle(main)
  return (
    <div className="shell">
      <a className="skip" href="#main">Skip to the content</a>
      <header className="shell-head">
        <span className="brand"><Wave />Tidewire</span>
        <div className="shell-tools">
          <LiveConnectionStatus />
          <ThemeSwitch />
          <Button kind="quiet" onClick={onSignOut} aria-label="Sign out" title="Sign out"><LogOut size={16} aria-hidden /></Button>
        </div>
      </header>
      <nav className="shell-nav" aria-label="Pages">
        {PAGES.map(({ to, title, Icon }) => (
          <NavLink key={to} to={to} end={to === "/"}><Icon size={17} aria-hidden />{title}</NavLink>
        ))}
      </nav>
      <main id="main" ref={main} tabIndex={-1} aria-label={title}>{children}</main>
      <Toasts />
    </div>
  )
}

/** Name the tab by the page, and after going to another one begin to read there. */
function useTitle(main: React.RefObject<HTMLElement | null>): string {
  const { pathname } = useLocation()
  const title = PAGES.find(({ to }) => to === pathname)?.title ?? "Tidewire"
  const shown = useRef(pathname)
  useEffect(() => {
    document.title = `${title} · Tidewire`
    if (shown.current !== pathname) main.current?.focus({ preventScroll: true })
    shown.current = pathname
  }, [title, pathname, main])
  return title
}

export function Wave(): ReactElement {
  return (
    <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden>
      <path d="M2 12c4.7-6 9.300-6 14 0s9.300 6 14 0M2 22c4.700-6 9.300-6 14 0s9.300 6 14 0" fill="none" stroke="currentColor" strokeWidth="3" strokeLinecap="round" />
    </svg>
  )
}
