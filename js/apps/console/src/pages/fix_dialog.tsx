/** Shows the SQL of a fix, runs it when somebody has confirmed, and shows what came of it. */
import { Button, Dialog, ErrorState } from "@tidewire/ui"
import { type ReactElement, useState } from "react"

import { ApiError, post } from "../api.ts"
import { session } from "../session.ts"
import { Sql } from "../sql.tsx"
import type { Finding } from "../table_types.ts"

type Stage =
  | { readonly kind: "asking" | "running" }
  | { readonly kind: "done"; readonly ran: readonly string[] }
  | { readonly kind: "failed"; readonly error: ApiError }

export interface FixDialogProps {
  readonly finding: Finding
  /** Whatever came of it: some statements may have run before one failed. */
  readonly onTried: () => void
  readonly onClose: () => void
}

export function FixDialog({ finding, onTried, onClose }: FixDialogProps): ReactElement {
  const { stage, run } = useFix(finding.id, onTried)
  const { code, table, message, fix } = finding
  return (
    <Dialog title={`Fix ${code}`} onClose={onClose}>
      {stage.kind === "done" ? <Done ran={stage.ran} onClose={onClose} /> : (
        <>
          <p>{table !== null && <strong className="mono">{table} </strong>}{message}</p>
          <Sql title="This would be run" text={fix} />
          {stage.kind === "failed"
            ? <ErrorState title={stage.error.message}>{stage.error.hint}{fix.includes("\n") && " Statements before the one that failed have run."}</ErrorState>
            : <p className="soft">It runs as the role that the server connects with, and waits for locks for three seconds at most.</p>}
          <div className="row">
            <Button kind="primary" onClick={run} aria-busy={stage.kind === "running"}>{stage.kind === "failed" ? "Run it again" : "Run it"}</Button>
            <Button onClick={onClose}>Cancel</Button>
          </div>
        </>
      )}
    </Dialog>
  )
}

function Done({ ran, onClose }: { readonly ran: readonly string[]; readonly onClose: () => void }): ReactElement {
  return (
    <>
      <p role="status"><strong>Done.</strong> Doctor looks again.</p>
      <Sql title="This was run" text={ran.join("\n")} />
      <div className="row"><Button kind="primary" autoFocus onClick={onClose}>Good</Button></div>
    </>
  )
}

function useFix(id: string, onTried: () => void): { readonly stage: Stage; readonly run: () => void } {
  const [stage, setStage] = useState<Stage>({ kind: "asking" })
  const run = (): void => {
    if (stage.kind === "running") return
    setStage({ kind: "running" })
    post<{ ran: string[] }>(`/doctor/${id}/fix`, {}, session.token).then(
      ({ ran }) => setStage({ kind: "done", ran }),
      (error: unknown) => setStage({ kind: "failed", error: error instanceof ApiError ? error : new ApiError(0, null) }),
    ).finally(onTried)
  }
  return { stage, run }
}
