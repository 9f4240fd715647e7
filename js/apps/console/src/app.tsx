/** Which page stands at which address. Pages are loaded when somebody opens them. */
import { TidewireProvider, useStore } from "@tidewire/react"
import { EmptyState, LoadingState } from "@tidewire/ui"
import { lazy, type ReactElement, Suspense } from "react"
import { BrowserRouter, Link, Route, Routes } from "react-router"

import { session } from "./session.ts"
import { Shell } from "./shell.tsx"
import { SignIn } from "./sign_in.tsx"

const OverviewPage = lazy(() => import("./pages/overview.tsx"))
const ConnectionsPage = lazy(() => import("./pages/connections.tsx"))
const InspectorPage = lazy(() => import("./pages/inspector.tsx"))
const TablesPage = lazy(() => import("./pages/tables.tsx"))
const LogPage = lazy(() => import("./pages/log.tsx"))
const GalleryPage = lazy(() => import("./gallery/gallery.tsx"))

export function App(): ReactElement {
  return (
    <BrowserRouter basename="/console">
      <Suspense fallback={<LoadingState title="Loading the page" />}>
        <Routes>
          <Route path="gallery" element={<GalleryPage />} />
          <Route path="*" element={<SignedIn />} />
        </Routes>
      </Suspense>
    </BrowserRouter>
  )
}

function SignedIn(): ReactElement {
  const state = useStore(session)
  if (state.kind === "signing-in") return <LoadingState title="Signing in" />
  if (state.kind === "signed-out") return <SignIn problem={state.problem} />
  return (
    <TidewireProvider client={state.client}>
      <Shell onSignOut={() => session.signOut()}>
        <Suspense fallback={<LoadingState title="Loading the page" />}>
          <Routes>
            <Route index element={<OverviewPage />} />
            <Route path="connections" element={<ConnectionsPage />} />
            <Route path="inspector" element={<InspectorPage />} />
            <Route path="tables" element={<TablesPage />} />
            <Route path="log" element={<LogPage />} />
            <Route path="*" element={<Nowhere />} />
          </Routes>
        </Suspense>
      </Shell>
    </TidewireProvider>
  )
}

function Nowhere(): ReactElement {
  return (
    <EmptyState title="There is nothing at this address">
      <Link to="/">Go to the overview</Link>
    </EmptyState>
  )
}
