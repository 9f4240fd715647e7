/** Paragraphs of the reference. */
import type { ReactElement } from "react"

import type { Paragraph, Piece } from "./handbook.ts"

export function Prose({ paragraphs }: { readonly paragraphs: readonly Paragraph[] }): ReactElement {
  return (
    <div className="prose">
      {paragraphs.map((pieces, index) => <p key={index}>{pieces.map((piece, place) => <Marked key={place} {...piece} />)}</p>)}
    </div>
  )
}

function Marked({ kind, text }: Piece): ReactElement {
  if (kind === "code") return <code>{text}</code>
  return kind === "strong" ? <strong>{text}</strong> : <>{text}</>
}
