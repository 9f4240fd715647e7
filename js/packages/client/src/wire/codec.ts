/** Turns messages of protocol version 2.0.0 into frames and back: JSON arrays, and binary broadcasts (W4 to W8). */
import { TidewireError } from "../errors.ts"

export interface Message {
  readonly joinRef: string | null
  readonly ref: string | null
  readonly topic: string
  readonly event: string
  readonly payload: Payload
}
/** What a server says is checked where it is used. */
export type Payload = Readonly<Record<string, unknown>>
export type Frame = string | Uint8Array<ArrayBuffer>

const MOST_BYTES = 255
const PUSH = 3
const BROADCAST = 4
const HEAD_BYTES = 5

/** Write a message as text. */
export function encode(message: Message): string {
  return JSON.stringify([message.joinRef, message.ref, message.topic, message.event, message.payload])
}

/** Write a broadcast: binary, or text where a name is too long for that. Throws for bytes under such a name. */
export function encodeBroadcast(joinRef: string, ref: string, topic: string, event: string, payload: unknown): Frame {
  const raw = asBytes(payload)
  const names = [joinRef, ref, topic, event].map((text) => new TextEncoder().encode(text))
  if (names.every((name) => name.length <= MOST_BYTES)) {
    const body = raw ?? new TextEncoder().encode(JSON.stringify(payload ?? null))
    const head = [PUSH, ...names.map((name) => name.length), 0, raw ? 0 : 1]
    return join([Uint8Array.from(head), ...names, body])
  }
  if (raw) {
    throw new TidewireError("NameTooLong", `sending bytes: expected topic and event of at most ${MOST_BYTES} bytes, got more`, {
      hint: "shorten the name of the topic or of the event",
    })
  }
  return encode({ joinRef, ref, topic, event: "broadcast", payload: { type: "broadcast", event, payload } })
}

/** Read a frame; null for what is none, which a client passes over as a server does. */
export function decode(data: string | ArrayBuffer): Message | null {
  try {
    return typeof data === "string" ? decodeText(data) : decodeBinary(new Uint8Array(data))
  } catch {
    return null
  }
}

function decodeText(text: string): Message | null {
  const parts: unknown = JSON.parse(text)
  if (!Array.isArray(parts) || parts.length !== HEAD_BYTES) return null
  const [joinRef, ref, topic, event, payload] = parts as unknown[]
  if (!isRef(joinRef) || !isRef(ref) || typeof topic !== "string" || typeof event !== "string") return null
  return isObject(payload) ? { joinRef, ref, topic, event, payload } : null
}

function decodeBinary(bytes: Uint8Array): Message | null {
  const [kind, topicBytes, eventBytes, metaBytes, encoding] = bytes
  if (kind !== BROADCAST || topicBytes === undefined || eventBytes === undefined || metaBytes === undefined) return null
  const bodyStart = HEAD_BYTES + topicBytes + eventBytes + metaBytes
  if (encoding === undefined || bodyStart > bytes.length) return null
  const read = (start: number, length: number) =>
    new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(start, start + length))
  const meta = metaBytes ? (JSON.parse(read(bodyStart - metaBytes, metaBytes)) as unknown) : undefined
  const payload: unknown =
    encoding === 1 ? JSON.parse(read(bodyStart, bytes.length - bodyStart)) : bytes.slice(bodyStart)
  const event = read(HEAD_BYTES + topicBytes, eventBytes)
  const told = { type: "broadcast", event, payload, ...(isObject(meta) ? { meta } : {}) }
  return { joinRef: null, ref: null, topic: read(HEAD_BYTES, topicBytes), event: "broadcast", payload: told }
}

export function isObject(value: unknown): value is Payload {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

const isRef = (value: unknown): value is string | null => value === null || typeof value === "string"

function asBytes(payload: unknown): Uint8Array | null {
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload)
  return ArrayBuffer.isView(payload) ? new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength) : null
}

function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
