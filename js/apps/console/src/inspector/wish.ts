/** What is filled in on the inspector, and its form in a link. Pure: asks nobody, and finds nothing wrong. */

export const EVENTS = ["INSERT", "UPDATE", "DELETE"] as const
export type View = "why" | "listen"
export type Happening = (typeof EVENTS)[number]

/** As it stands in the form: mostly text, and none of it need make sense yet. */
export interface Wish {
  readonly table: string
  readonly role: string
  readonly user: string
  readonly claims: string
  readonly filter: string
  readonly select: string
  readonly wanted: "*" | Happening
  readonly moves: boolean
  /** The row, what happened to it, and what it was before: for a verdict. */
  readonly row: string
  readonly event: Happening
  readonly old: string
  /** For listening. */
  readonly topic: string
  readonly isPrivate: boolean
}

export const EMPTY: Wish = {
  table: "", role: "authenticated", user: "", claims: "", filter: "", select: "", wanted: "*", moves: false,
  row: "", event: "INSERT", old: "", topic: "", isPrivate: false,
}

const VIEWS: readonly string[] = ["why", "listen"] satisfies View[]
/** Longer texts are left out of links: not everything that takes a link takes one of any length. */
export const MOST_LINK_CHARS = 6000

/** Write what follows the # of a link. It stays in the browser, so neither a proxy nor a log gets to see a row. */
export function writeLink(view: View, wish: Wish): string {
  const parts = new URLSearchParams({ view })
  for (const name of Object.keys(EMPTY) as (keyof Wish)[]) {
    const value = wish[name]
    if (value === EMPTY[name] || String(value).length > MOST_LINK_CHARS) continue
    parts.set(name, String(value))
  }
  return `#${parts.toString()}`
}

/** Read it. Null where it is something else, such as the place of a page that somebody skipped to. */
export function readLink(hash: string): { readonly view: View; readonly wish: Wish } | null {
  const parts = new URLSearchParams(hash.replace(/^#/, ""))
  const view = parts.get("view")
  if (view === null || !VIEWS.includes(view)) return null
  const text = (name: keyof Wish): string => parts.get(name) ?? String(EMPTY[name])
  const oneOf = <T extends string>(name: keyof Wish, known: readonly T[], otherwise: T): T =>
    known.find((each) => each === text(name)) ?? otherwise
  const wish: Wish = {
    table: text("table"), role: text("role"), user: text("user"), claims: text("claims"), filter: text("filter"),
    select: text("select"), wanted: oneOf("wanted", ["*", ...EVENTS], EMPTY.wanted), moves: text("moves") === "true",
    row: text("row"), event: oneOf("event", EVENTS, EMPTY.event), old: text("old"), topic: text("topic"),
    isPrivate: text("isPrivate") === "true",
  }
  return { view: view as View, wish }
}
