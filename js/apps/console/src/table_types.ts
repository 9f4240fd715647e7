/** What the API tells of tables and of what doctor finds, as docs/reference/http.md has it. */

export interface RoleSight {
  readonly role: string
  readonly policies: "gone" | "closed" | "open" | "compiled" | "postgres"
  /** What keeps the policies from being compiled. */
  readonly why: string
  readonly hidden_columns: readonly string[]
}

export interface TableSight {
  readonly schema: string
  readonly name: string
  readonly partitioned: boolean
  readonly publications: readonly string[]
  readonly identity: "default" | "full" | "nothing" | "index"
  readonly primary_key: readonly string[]
  readonly row_security: boolean
  readonly policies: number
  readonly subscriptions: number
  readonly audiences: number
  readonly changes_per_s: number
  /** Of those who follow it. */
  readonly roles: readonly RoleSight[]
}

export interface Finding {
  /** Names its fix, and no other. */
  readonly id: string
  readonly code: string
  readonly severity: "ok" | "warning" | "error"
  readonly message: string
  readonly fix: string
  readonly table: string | null
  readonly runnable: boolean
}
