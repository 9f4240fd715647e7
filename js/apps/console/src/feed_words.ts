/** What to do about a feed that is refused. */
export function reconnectHint(reason: string | null): string {
  const said = reason === null ? "" : `${reason.replace(/\.?$/, ".")} `
  return `${said}Sign in as an operator, then try again.`
}
