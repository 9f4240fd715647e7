/** The names of the tables that are published, to choose from. Without them one types. */
import { useEffect, useState } from "react"

import { ask } from "../api.ts"
import { session } from "../session.ts"

interface Answer {
  readonly tables: readonly { readonly schema: string; readonly name: string }[]
}

/** Null until the server has said. */
export function useTables(): readonly string[] | null {
  const [names, setNames] = useState<readonly string[] | null>(null)
  useEffect(() => {
    const stop = new AbortController()
    ask<Answer>("/tables", { token: session.token, signal: stop.signal }).then(
      ({ tables }) => setNames(tables.map(({ schema, name }) => `${schema}.${name}`)),
      () => undefined, // what is wrong with the database is told by what is asked next
    )
    return () => stop.abort()
  }, [])
  return names
}
