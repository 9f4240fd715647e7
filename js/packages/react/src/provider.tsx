/** Hands the page's client down to hooks. Makes none, and closes none: that is for whoever made it. */
import { defaultClient, type TidewireClient } from "@tidewire/client"
import { createContext, type ReactElement, type ReactNode, useContext } from "react"

const Client = createContext<TidewireClient | null>(null)

export interface TidewireProviderProps {
  readonly client: TidewireClient
  readonly children: ReactNode
}

/** Make the client outside of any component, and put this around all that uses it. */
export function TidewireProvider({ client, children }: TidewireProviderProps): ReactElement {
  return <Client.Provider value={client}>{children}</Client.Provider>
}

/** Return the provider's client, or else the one that `configure` made. */
export function useClient(): TidewireClient {
  return useContext(Client) ?? defaultClient()
}
