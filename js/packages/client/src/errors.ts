/** What went wrong, by a stable code; `retryable` says whether the same may succeed later, `hint` what to do. */
export class TidewireError extends Error {
  override readonly name = "TidewireError"
  readonly code: string
  readonly retryable: boolean
  readonly hint: string

  constructor(code: string, message: string, details: { retryable?: boolean; hint?: string } = {}) {
    super(message)
    this.code = code
    this.retryable = details.retryable ?? false
    this.hint = details.hint ?? ""
  }
}
