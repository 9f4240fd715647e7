/** Takes a page of the reference apart: what it says of each name that has a heading of its own. Pure. */

export interface Piece {
  readonly kind: "text" | "code" | "strong"
  readonly text: string
}

export type Paragraph = readonly Piece[]

/** By name, as the headings have them. */
export type Handbook = ReadonlyMap<string, readonly Paragraph[]>

const HEADING = /^#{2,3} `?(\w+)`?$/m
const LINK = /\[([^\]]*)\]\([^)]*\)/g
const MARKED = /`([^`]+)`|\*\*([^*]+)\*\*/g

export function handbookOf(page: string): Handbook {
  const [, ...parts] = page.split(HEADING) // a name, what is below it, a name, and so on
  const found = new Map<string, readonly Paragraph[]>()
  for (let index = 0; index < parts.length; index += 2) {
    const below = parts[index + 1]?.split(/^#/m)[0] ?? ""
    const paragraphs = below.split(/\n{2,}/).map((each) => each.trim().replaceAll("\n", " ")).filter(isProse)
    if (paragraphs.length > 0) found.set(parts[index] ?? "", paragraphs.map(piecesOf)) // a chapter has none of its own
  }
  return found
}

/** Neither a table nor a block of code. */
const isProse = (paragraph: string): boolean => /^[^|`]|^`[^`]/.test(paragraph)

/** Links lead to pages that the server does not have, so their words stand alone. */
function piecesOf(paragraph: string): Piece[] {
  const plain = paragraph.replaceAll(LINK, "$1")
  const pieces: Piece[] = []
  let end = 0
  for (const match of plain.matchAll(MARKED)) {
    const [whole, code, strong] = match
    pieces.push({ kind: "text", text: plain.slice(end, match.index) })
    pieces.push(code === undefined ? { kind: "strong", text: strong ?? "" } : { kind: "code", text: code })
    end = match.index + whole.length
  }
  return [...pieces, { kind: "text" as const, text: plain.slice(end) }].filter(({ text }) => text !== "")
}
