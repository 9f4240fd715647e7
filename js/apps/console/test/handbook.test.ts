import doctorPage from "@tidewire/reference/doctor.md?raw"
import { describe, expect, it } from "vitest"

import { handbookOf } from "../src/handbook.ts"
import { ERRORS, EVENTS, wordsOf } from "../src/log_words.ts"

const PAGE = `# Title

Not of any name.

## first_event

It is \`here\`, see [there](other.md#part), and
**matters**.

Do something.

| a | table |
|---|---|

\`\`\`sh
a block
\`\`\`

## A chapter of several words

### Second
\`code\` begins it.

# Another title
Not of the second.
`

describe("a handbook", () => {
  const found = handbookOf(PAGE)

  it("has the paragraphs below each name, and nothing else", () => {
    expect([...found.keys()]).toEqual(["first_event", "Second"])
    expect(found.get("first_event")).toEqual([
      [
        { kind: "text", text: "It is " }, { kind: "code", text: "here" }, { kind: "text", text: ", see there, and " },
        { kind: "strong", text: "matters" }, { kind: "text", text: "." },
      ],
      [{ kind: "text", text: "Do something." }],
    ])
    expect(found.get("Second")).toEqual([[{ kind: "code", text: "code" }, { kind: "text", text: " begins it." }]])
  })
})

describe("the reference", () => {
  it.each([["events", EVENTS, 40], ["errors", ERRORS, 20], ["findings", handbookOf(doctorPage), 35]])("has words for %s", (_, handbook, least) => {
    expect(handbook.size).toBeGreaterThanOrEqual(least)
  })

  it("says what an event means, and an error that it is about", () => {
    const names = (event: string, code: string) => wordsOf({ event, code }).map(({ name }) => name)
    expect(names("handshake_refused", "handshake_refused")).toEqual(["handshake_refused"])
    expect(names("upkeep_failed", "DatabaseUnreachable")).toEqual(["upkeep_failed", "DatabaseUnreachable"])
    expect(names("data_api_failed", "57014")).toEqual(["data_api_failed"])
    expect(names("of_the_application", "of_the_application")).toEqual([])
  })
})
