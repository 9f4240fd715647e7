/** Where operators without a link come in. */
import { Button, ThemeSwitch } from "@tidewire/ui"
import { type SubmitEvent, type ReactElement, useState } from "react"

import { ApiError } from "./api.ts"
import { session } from "./session.ts"
import { Wave } from "./shell.tsx"

export function SignIn({ problem }: { readonly problem: ApiError | null }): ReactElement {
  const [refused, setRefused] = useState<ApiError | null>(problem)
  const [isAsking, setIsAsking] = useState(false)
  const submit = (event: SubmitEvent<HTMLFormElement>): void => {
    event.preventDefault()
    const token = new FormData(event.currentTarget).get("token")
    if (typeof token !== "string" || token.trim() === "") return
    setIsAsking(true)
    session
      .useToken(token.trim())
      .catch((error: unknown) => setRefused(error instanceof ApiError ? error : new ApiError(0, null)))
      .finally(() => setIsAsking(false))
  }
  return (
    <main className="sign-in">
      <div className="sign-in-head"><span className="brand"><Wave />Tidewire</span><ThemeSwitch /></div>
      <h1>Sign in</h1>
      <p>
        Open the link that <code>tidewire serve</code> prints: it counts once, for ten minutes. Or make a token:{" "}
        <code>tidewire token --role service_role --exp 1h</code>
      </p>
      {refused && (
        <div role="alert" className="sign-in-problem">
          <strong>{refused.message}</strong>
          {refused.hint !== "" && <p>{refused.hint}</p>}
        </div>
      )}
      <form onSubmit={submit}>
        <label htmlFor="token">Token of an operator</label>
        <input id="token" name="token" type="password" autoComplete="off" spellCheck={false} required />
        <Button type="submit" kind="primary" disabled={isAsking}>Sign in</Button>
      </form>
    </main>
  )
}
