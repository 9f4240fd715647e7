/** Reads the form: into a question for a verdict, or a plan for listening, or what is wrong beside each field. */
import type { TableOptions } from "@tidewire/client"
import type { Problem } from "@tidewire/ui"

import type { ApiError } from "../api.ts"
import type { Wish } from "./wish.ts"

export type Problems = Readonly<Partial<Record<keyof Wish, Problem>>>
type JsonObject = Readonly<Record<string, unknown>>

/** Through whose eyes: what a token is minted for. */
export interface Reader {
  readonly role: string
  readonly user: string | null
  readonly claims: JsonObject
}

/** The body of POST /verdict, as docs/reference/http.md has it. */
export interface Question extends Reader {
  readonly schema: string
  readonly table: string
  readonly record: RawJson
  readonly event: Wish["event"]
  readonly old_record: RawJson | null
  readonly filter: string
  readonly select: readonly string[] | null
  readonly wanted: Wish["wanted"]
  readonly moves: boolean
}

/** JSON as it was written: a bigint would not survive being read and written again here. */
export interface RawJson {
  readonly raw: string
}

/** What to listen to; at least one of both is there. */
export interface Plan {
  readonly reader: Reader
  readonly topic: { readonly name: string; readonly isPrivate: boolean } | null
  readonly table: { readonly name: string; readonly options: TableOptions } | null
}

export type Reading<T> = { readonly problems: Problems } | { readonly read: T }

const ROW_REMEDY = "Copy the row as JSON, such as {\"id\": 7}: a frame or a row of /rest/v1 will do."

export function readQuestion(wish: Wish): Reading<Question> {
  const problems: Record<string, Problem> = { ...readerProblems(wish) }
  if (wish.table.trim() === "") problems["table"] = { message: "Which table is the row of?", remedy: "Choose one of those that are published." }
  else if (wish.table.includes("*")) problems["table"] = { message: "A row is of one table.", remedy: "Name it without a *." }
  if (wish.row.trim() === "") problems["row"] = { message: "There is no row yet.", remedy: ROW_REMEDY }
  else if (!isObjectText(wish.row)) problems["row"] = { message: "This is no JSON object.", remedy: ROW_REMEDY }
  const hasOld = wish.event === "UPDATE" && wish.old.trim() !== ""
  if (hasOld && !isObjectText(wish.old)) problems["old"] = { message: "This is no JSON object.", remedy: "Leave it empty if only the key was as it is now." }
  if (Object.keys(problems).length > 0) return { problems }
  return {
    read: {
      ...tableOf(wish.table), ...readerOf(wish), record: { raw: wish.row.trim() }, event: wish.event,
      old_record: hasOld ? { raw: wish.old.trim() } : null, filter: wish.filter.trim(), select: columnsOf(wish.select),
      wanted: wish.wanted, moves: wish.moves,
    },
  }
}

export function readPlan(wish: Wish): Reading<Plan> {
  const problems: Record<string, Problem> = { ...readerProblems(wish) }
  const topic = wish.topic.trim().replace(/^realtime:/, "")
  const isForTable = wish.table.trim() !== ""
  if (topic === "" && !isForTable) problems["topic"] = { message: "There is nothing to listen to.", remedy: "Name a topic, a table, or both." }
  if (!isForTable && wish.filter.trim() !== "") problems["table"] = { message: "The filter is for a table.", remedy: "Name one, or leave the filter out." }
  if (Object.keys(problems).length > 0) return { problems }
  const { schema, table } = tableOf(wish.table)
  const select = columnsOf(wish.select)
  const options: TableOptions = {
    schema, event: wish.wanted, ...(wish.filter.trim() === "" ? {} : { filter: wish.filter.trim() }),
    ...(select === null ? {} : { select }), ...(wish.moves ? { moves: true } : {}),
  }
  return {
    read: {
      reader: readerOf(wish),
      topic: topic === "" ? null : { name: topic, isPrivate: wish.isPrivate },
      table: isForTable ? { name: table, options } : null,
    },
  }
}

/** Write a question as a body. */
export function bodyOf(question: Question): string {
  const members = Object.entries(question).filter(([name, value]) => value !== null || name === "user")
  return `{${members.map(([name, value]) => `${JSON.stringify(name)}:${isRaw(value) ? value.raw : JSON.stringify(value)}`).join(",")}}`
}

/** Tell whether the form still asks what was asked. */
export function isAbout(question: Question, wish: Wish): boolean {
  const reading = readQuestion(wish)
  return "read" in reading && bodyOf(reading.read) === bodyOf(question)
}

/** Return the problems of all other fields. */
export function without(problems: Problems, names: readonly (keyof Wish)[]): Problems {
  return Object.fromEntries(Object.entries(problems).filter(([name]) => !names.includes(name as keyof Wish)))
}

/** Say which field a refusal of the server is about; null: none by itself. All have one code, so what tells is the words. */
export function blame(error: ApiError): Problems | null {
  const problem = { message: `${error.message}.`, remedy: error.hint }
  if (error.message.startsWith("reading a row:")) return { row: problem }
  if (error.message.startsWith("minting a token: expected claims")) return { claims: problem }
  if (error.hint.startsWith("name a role")) return { role: problem }
  return null
}

/** `schema.table`, or a table of the schema public. */
export function tableOf(text: string): { schema: string; table: string } {
  const trimmed = text.trim()
  const dot = trimmed.indexOf(".")
  return dot < 0 ? { schema: "public", table: trimmed } : { schema: trimmed.slice(0, dot), table: trimmed.slice(dot + 1) }
}

/** Read text as JSON, whatever it says; undefined where it is none. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function readerProblems({ role, claims }: Wish): Problems {
  return {
    ...(role.trim() === "" ? { role: { message: "Nobody reads without a role.", remedy: "Most apps have anon and authenticated." } } : {}),
    ...(claims.trim() !== "" && !isObjectText(claims)
      ? { claims: { message: "This is no JSON object.", remedy: "Write claims as {\"team\": 3}, or leave them out." } }
      : {}),
  }
}

function readerOf({ role, user, claims }: Wish): Reader {
  return { role: role.trim(), user: user.trim() || null, claims: claims.trim() === "" ? {} : (jsonOf(claims) as JsonObject) }
}

function columnsOf(text: string): string[] | null {
  const names = text.split(",").map((name) => name.trim()).filter(Boolean)
  return names.length > 0 ? names : null
}

function isObjectText(text: string): boolean {
  const value = jsonOf(text)
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

const isRaw = (value: unknown): value is RawJson => typeof value === "object" && value !== null && typeof (value as RawJson).raw === "string"
