/** Posts frames in their order: one request at a time, because requests that cross may arrive in another. */
import { toBase64 } from "../wire/base64.ts"
import type { Frame } from "../wire/codec.ts"

const MOST_FRAMES = 100 // what the server takes at once
const MOST_CHARS = 1_000_000

export class Outgoing {
  readonly #waiting: string[] = []
  readonly #post: (body: string) => Promise<void>
  readonly #failed: (error: unknown) => void
  #isPosting = false

  /** `post` resolves once a body has been taken; when it does not, `failed` is told and nothing more is posted. */
  constructor(post: (body: string) => Promise<void>, failed: (error: unknown) => void) {
    this.#post = post
    this.#failed = failed
  }

  send(frame: Frame): void {
    this.#waiting.push(typeof frame === "string" ? frame : toBase64(frame))
    if (!this.#isPosting) void this.#run()
  }

  async #run(): Promise<void> {
    this.#isPosting = true
    try {
      await Promise.resolve() // what is said in one turn goes in one request
      while (this.#waiting.length) await this.#post(this.#next())
      this.#isPosting = false
    } catch (error) {
      this.#failed(error)
    }
  }

  #next(): string {
    let chars = 0
    let count = 0
    for (const line of this.#waiting.slice(0, MOST_FRAMES)) {
      chars += line.length
      if (count && chars > MOST_CHARS) break
      count += 1
    }
    return this.#waiting.splice(0, count).join("\n")
  }
}
