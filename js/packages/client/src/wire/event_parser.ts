/** Takes a text/event-stream apart, however it is cut into pieces. Knows nothing of what the events mean. */

export interface ServerEvent {
  readonly name: string
  readonly data: string
}

export class EventParser {
  #rest = ""
  #name = ""
  #data: string[] = []

  /** Return the events that end in this piece. */
  push(piece: string): ServerEvent[] {
    const events: ServerEvent[] = []
    const lines = (this.#rest + piece).split("\n") // Tidewire ends lines with nothing else
    this.#rest = lines.pop() ?? ""
    for (const line of lines) {
      const event = this.#line(line.endsWith("\r") ? line.slice(0, -1) : line)
      if (event) events.push(event)
    }
    return events
  }

  /** How much has come of an event that has not ended. */
  get pendingChars(): number {
    return this.#rest.length + this.#data.reduce((sum, text) => sum + text.length, 0)
  }

  #line(line: string): ServerEvent | null {
    if (line === "") {
      const event = this.#data.length ? { name: this.#name || "message", data: this.#data.join("\n") } : null
      this.#name = ""
      this.#data = []
      return event
    }
    const colon = line.indexOf(":")
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "")
    if (field === "event") this.#name = value
    if (field === "data") this.#data.push(value)
    return null
  }
}
