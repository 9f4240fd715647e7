/** The names of the tables that are published, to choose from. Without them one types. */
import { useMemo } from "react"

import type { TableSight } from "../table_types.ts"
import { nameOf } from "../table_words.ts"
import { useAsked } from "../use_asked.ts"

interface Answer {
  readonly tables: readonly Pick<TableSight, "schema" | "name">[]
}

/** Null until the server has said. What is wrong with the database is told by what is asked next. */
export function useTables(): readonly string[] | null {
  const { answer } = useAsked<Answer>("/tables")
  return useMemo(() => answer?.value.tables.map(nameOf) ?? null, [answer])
}
