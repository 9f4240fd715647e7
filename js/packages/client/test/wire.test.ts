import { readFileSync } from "node:fs"

import fc from "fast-check"
import { describe, expect, it } from "vitest"

import { fromBase64, toBase64 } from "../src/wire/base64.ts"
import { decode, encode, encodeBroadcast } from "../src/wire/codec.ts"
import { EventParser } from "../src/wire/event_parser.ts"
import { isRepeat } from "../src/wire/position.ts"
import { readDiff, readState } from "../src/wire/presence.ts"
import { comeBack } from "../src/wire/reasons.ts"

interface Line { from: "client" | "server"; text?: string; binary?: string }
const transcript = readFileSync(new URL("../../../../spec/transcripts/javascript_v2.jsonl", import.meta.url), "utf8")
const lines = transcript.trim().split("\n").slice(1).map((line) => JSON.parse(line) as Line)
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"))

describe("the recorded exchange", () => {
  it("holds frames of both kinds from both sides", () => {
    for (const from of ["client", "server"]) {
      expect(lines.some((line) => line.from === from && line.text)).toBe(true)
      expect(lines.some((line) => line.from === from && line.binary)).toBe(true)
    }
  })

  it.each(lines.filter((line) => line.from === "server"))("is read: $text$binary", ({ text, binary }) => {
    const message = decode(text ?? bytes(binary!).buffer)
    if (text) {
      const [joinRef, ref, topic, event, payload] = JSON.parse(text) as unknown[]
      expect(message).toEqual({ joinRef, ref, topic, event, payload })
    } else {
      expect(message).toMatchObject({ event: "broadcast", topic: "realtime:room:7", payload: { type: "broadcast" } })
    }
  })

  it.each(lines.filter((line) => line.from === "client"))("is written again, byte for byte: $text$binary", ({ text, binary }) => {
    if (text) {
      const [joinRef, ref, topic, event, payload] = JSON.parse(text) as [string | null, string | null, string, string, object]
      expect(encode({ joinRef, ref, topic, event, payload: { ...payload } })).toBe(text)
      return
    }
    const frame = bytes(binary!)
    const [, joinBytes, refBytes, topicBytes, eventBytes, , encoding] = frame
    let at = 7
    const read = (length = 0) => new TextDecoder().decode(frame.subarray(at, (at += length)))
    const names = [read(joinBytes), read(refBytes), read(topicBytes), read(eventBytes)] as const
    const body = frame.slice(at)
    const payload: unknown = encoding === 1 ? JSON.parse(new TextDecoder().decode(body)) : body
    expect(encodeBroadcast(...names, payload)).toEqual(frame)
  })
})

describe("frames", () => {
  it("writes the worked example", () => {
    const frame = encodeBroadcast("1", "2", "realtime:t", "hi", { a: 1 }) as Uint8Array
    expect(Buffer.from(frame).toString("latin1")).toBe('\x03\x01\x01\x0a\x02\x00\x0112realtime:thi{"a":1}')
    const told = decode(Uint8Array.from(Buffer.from('\x04\x0a\x02\x00\x01realtime:thi{"a":1}', "latin1")).buffer)
    expect(told).toEqual({
      joinRef: null, ref: null, topic: "realtime:t", event: "broadcast",
      payload: { type: "broadcast", event: "hi", payload: { a: 1 } },
    })
  })

  it("becomes text under a long name, which bytes cannot", () => {
    const topic = `realtime:${"ü".repeat(124)}` // 257 bytes
    expect(encodeBroadcast("1", "2", topic, "e", { a: 1 })).toContain('"broadcast"')
    expect(() => encodeBroadcast("1", "2", topic, "e", new Uint8Array(1))).toThrow("at most 255 bytes")
    expect(encodeBroadcast("1", "2", topic.slice(0, -1), "e", {})).toBeInstanceOf(Uint8Array)
  })

  it("passes over everything that is no frame", () => {
    fc.assert(fc.property(fc.uint8Array(), (data) => {
      const read = decode(Uint8Array.from(data).buffer)
      expect(read === null || read.event === "broadcast").toBe(true)
    }))
    for (const text of ["", "{}", "[]", "[1,2,3,4,5]", '[null,null,"t","e",null]', '[null,null,"t","e",[]]']) {
      expect(decode(text)).toBeNull()
    }
  })

  it("carries bytes through text", () => {
    fc.assert(fc.property(fc.uint8Array(), (data) => {
      expect(fromBase64(toBase64(Uint8Array.from(data)))).toEqual(Uint8Array.from(data))
    }))
    expect(fromBase64(toBase64(new Uint8Array(200_000)))).toHaveLength(200_000)
  })
})

describe("positions", () => {
  it("compares within one history", () => {
    expect(isRepeat("e.10.0", null)).toBe(false)
    expect(isRepeat("e.10.0", "e.10.0")).toBe(true)
    expect(isRepeat("e.ff.a", "e.100.0")).toBe(true)
    expect(isRepeat("e.100.0", "e.ff.a")).toBe(false)
    expect(isRepeat("e.10.9", "e.10.a.77.5-1")).toBe(true)
    expect(isRepeat("other.1.0", "e.10.0")).toBe(false)
    expect(isRepeat("unreadable", "e.10.0")).toBe(false)
  })

  it("agrees with numbers", () => {
    const place = fc.tuple(fc.bigInt({ min: 0n, max: 2n ** 63n }), fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }))
    fc.assert(fc.property(place, place, ([lsn, index], [otherLsn, otherIndex]) => {
      const isBehind = lsn < otherLsn || (lsn === otherLsn && index <= otherIndex)
      expect(isRepeat(`e.${lsn.toString(16)}.${index.toString(16)}`, `e.${otherLsn.toString(16)}.${otherIndex.toString(16)}`)).toBe(isBehind)
    }))
  })
})

describe("an event stream", () => {
  it("is read the same however it is cut", () => {
    const text = ":  \n\nretry: 1000\n\nevent: session\ndata: {}\n\nid: 1\ndata: a\ndata: b\n\n:\n\ndata:c\n\n"
    const expected = [{ name: "session", data: "{}" }, { name: "message", data: "a\nb" }, { name: "message", data: "c" }]
    fc.assert(fc.property(fc.array(fc.nat(text.length)), (cuts) => {
      const parser = new EventParser()
      const places = [0, ...cuts.sort((a, b) => a - b), text.length]
      const events = places.slice(1).flatMap((end, index) => parser.push(text.slice(places[index], end)))
      expect(events).toEqual(expected)
      expect(parser.pendingChars).toBe(0)
    }))
  })
})

describe("presence", () => {
  const meta = (ref: string, extra = {}) => ({ metas: [{ phx_ref: ref, ...extra }] })

  it("follows states and diffs, under names of every kind", () => {
    const first = readState(new Map(), JSON.parse('{"__proto__":{"metas":[{"phx_ref":"a","n":1}]}}') as Record<string, unknown>)
    expect([...first.joins]).toEqual([["__proto__", [{ presence_ref: "a", n: 1 }]]])
    const joined = readDiff(first.state, { joins: { ben: meta("b") }, leaves: {} })
    expect([...joined.state.keys()]).toEqual(["__proto__", "ben"])
    const changed = readDiff(joined.state, { joins: { ben: meta("c", { phx_ref_prev: "b" }) }, leaves: { ben: meta("b") } })
    expect(changed.state.get("ben")).toEqual([{ presence_ref: "c" }])
    const left = readDiff(changed.state, { joins: {}, leaves: { ben: meta("c") } })
    expect([...left.state.keys()]).toEqual(["__proto__"])
  })

  it("tells after a return who came and went in between", () => {
    const before = readState(new Map(), { ann: meta("a"), ben: meta("b") }).state
    const after = readState(before, { ann: meta("a"), cleo: meta("c") })
    expect([[...after.joins.keys()], [...after.leaves.keys()]]).toEqual([["cleo"], ["ben"]])
  })
})

describe("reasons", () => {
  // The server's own list, read from where it is written: none of its reasons may be unknown here.
  const source = readFileSync(new URL("../../../../src/tidewire/model/reasons.py", import.meta.url), "utf8")
  const known = [...source.matchAll(/Reason\(\s*f?"([^"]+)",\s*"(\w+)"(?:,\s*"(\w+)")?/g)].map(([, message = "", help = "", code]) => ({ message, help, code }))

  it("are all found", () => expect(known.length).toBeGreaterThan(25))

  it.each(known)("$code: $message", ({ message, help, code }) => {
    if (message === "unmatched topic" || code) {
      const expected = code === "Unauthorized" ? "permission" : help
      expect(comeBack(code ? `${code}: ${message}` : message)).toBe(expected)
    } else {
      const found = comeBack(message)
      expect(found === "permission" ? "new_token" : found).toBe(message.startsWith("Presence track") ? "soon" : help)
    }
  })
})
