import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { gzipSync } from "node:zlib"

import { build } from "vite"
import { describe, expect, it, onTestFinished } from "vitest"

import { createClient } from "../src/client.ts"
import { configure, defaultClient, realtimeManager } from "../src/page_client.ts"
import { expiry, Tokens } from "../src/shell/tokens.ts"
import { call, Source } from "../src/store.ts"
import { Outgoing } from "../src/transport/outgoing.ts"
import { TIMING } from "../src/machine/timing.ts"

const jwt = (claims: object) => `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.s`
const inOneHour = () => Math.floor(Date.now() / 1000) + 3600

describe("tokens", () => {
  it("are asked for once for everybody who waits, and again when they are refused", async () => {
    let asked = 0
    const tokens = new Tokens(() => Promise.resolve(jwt({ exp: inOneHour(), n: (asked += 1) })), TIMING)
    const [one, other] = await Promise.all([tokens.get(false), tokens.get(false)])
    expect(one).toBe(other)
    await tokens.get(false)
    expect(asked).toBe(1)
    expect(await tokens.get(true)).not.toBe(one)
  })

  it("are asked for again once they have ended", async () => {
    let asked = 0
    const tokens = new Tokens(() => ((asked += 1), jwt({ exp: 1 })), TIMING)
    await tokens.get(false)
    await tokens.get(false)
    expect([asked, tokens.renewAt]).toEqual([2, null])
  })

  it("are renewed in good time, or at four fifths of a short life", async () => {
    const exp = inOneHour()
    const long = new Tokens(() => jwt({ exp }), TIMING)
    await long.get(false)
    expect(long.renewAt).toBe(exp * 1000 - TIMING.tokenLeewayMs)
    const brief = new Tokens(() => jwt({ exp: Math.floor(Date.now() / 1000) + 50 }), TIMING)
    await brief.get(false)
    expect(brief.renewAt! - Date.now()).toBeGreaterThan(30_000)
  })

  it("may be opaque, missing or broken", async () => {
    expect([expiry("opaque"), expiry("a.%%%.c"), expiry(jwt({}))]).toEqual([null, null, null])
    expect(await new Tokens(null, TIMING).get(false)).toBeNull()
    const broken = new Tokens(() => Promise.reject(new Error("no")), TIMING)
    await expect(broken.get(false)).rejects.toThrow("no")
    await expect(new Tokens(() => new Promise(() => undefined), { ...TIMING, tokenMs: 1 }).get(false)).rejects.toThrow("within 1 ms")
  })
})

describe("a store", () => {
  it("knows when somebody watches, and lets listeners come and go", () => {
    const watched: boolean[] = []
    const source = new Source(1, (isWatched) => watched.push(isWatched))
    const heard: string[] = []
    const stopOne = source.subscribe(() => {
      heard.push("one")
      stopOne()
    })
    const stopOther = source.subscribe(() => heard.push("other"))
    source.set(2)
    source.set(3)
    stopOther()
    stopOther()
    expect([heard, watched]).toEqual([["one", "other", "other"], [true, false]])
  })

  it("survives a listener that throws", async () => {
    const errors: unknown[] = []
    const take = (error: unknown) => errors.push(error)
    const before = process.listeners("uncaughtException")
    process.removeAllListeners("uncaughtException").on("uncaughtException", take)
    call(() => {
      throw new Error("an application's own")
    })
    await new Promise((resolve) => setImmediate(resolve))
    process.removeAllListeners("uncaughtException")
    for (const listener of before) process.on("uncaughtException", listener)
    expect(errors).toHaveLength(1)
  })
})

describe("posts", () => {
  it("leave one after the other, a hundred frames at most", async () => {
    const bodies: string[] = []
    await new Promise<void>((resolve, reject) => {
      const outgoing = new Outgoing((body) => {
        bodies.push(body)
        if (bodies.join("\n").split("\n").length === 250) resolve()
        return Promise.resolve()
      }, reject)
      for (let number = 0; number < 250; number += 1) outgoing.send(`[${number}]`)
    })
    expect(bodies.map((body) => body.split("\n").length)).toEqual([100, 100, 50])
    expect(bodies.join("\n").split("\n")[249]).toBe("[249]")
  })
})

/** A server that refuses everything in one way. */
async function refusing(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

describe("a client", () => {
  it.each([
    [401, "refused"],
    [503, "unreachable"],
  ])("that is answered with %i waits, and says %s", async (status, reason) => {
    const url = await refusing((_, response) => response.writeHead(status).end("{}"))
    const client = createClient(url, { apikey: "k", transports: ["sse", "longpoll"], page: null, timing: { backoffMs: 60_000, backoffMaxMs: 60_000 } })
    onTestFinished(() => client.close())
    const told = new Promise<void>((resolve) => {
      client.status.subscribe(() => client.status.getSnapshot().nextRetryAt !== null && resolve())
    })
    client.subscribeToTable("t", () => undefined)
    await told
    expect(client.status.getSnapshot()).toMatchObject({ state: "disconnected", reason, transport: null, channels: { joined: 0, wanted: 1 } })
  })

  it("keeps its status as one object until something changes, and rests when nothing is wanted", async () => {
    const client = createClient("http://127.0.0.1:1", { apikey: "k", transports: ["longpoll"], page: null })
    const before = client.status.getSnapshot()
    expect(client.status.getSnapshot()).toBe(before)
    expect(before).toMatchObject({ state: "disconnected", reason: "idle" })
    const subscription = client.subscribeToTable("t", () => undefined)
    expect(client.status.getSnapshot().state).toBe("connecting")
    expect(subscription.status.getSnapshot()).toEqual({ state: "waiting", reason: null })
    subscription.unsubscribe()
    subscription.unsubscribe()
    expect(subscription.status.getSnapshot().state).toBe("left")
    await new Promise<void>((resolve) => {
      client.status.subscribe(() => client.status.getSnapshot().reason === "idle" && resolve())
    })
    client.close()
    expect(client.status.getSnapshot().reason).toBe("closed")
    expect(() => client.subscribeToTable("t", () => undefined)).toThrow("one that was closed")
  })

  it("is one for the page, under the names of old", () => {
    expect(() => defaultClient()).toThrow("got none")
    const client = configure("http://127.0.0.1:1", { apikey: "k", transports: ["longpoll"], page: null })
    onTestFinished(() => client.close())
    const id = realtimeManager.subscribe({ table: "t", filter: "id=eq.1" }, () => undefined)
    expect(realtimeManager.getChannel("room")).toBe(realtimeManager.getChannel("room"))
    expect(realtimeManager.getStatus("room").state).toBe("waiting")
    expect(realtimeManager.getStatus().channels.wanted).toBe(2)
    realtimeManager.unsubscribeAll(id)
    realtimeManager.removeAllChannels()
    expect(realtimeManager.getStatus().channels.wanted).toBe(0)
    expect(realtimeManager.getStatus("room").state).toBe("left")
  })

  it("says what is wrong with what it is given", () => {
    expect(() => createClient("http://x", { apikey: "k", transports: [] })).toThrow("expected a transport")
    const client = createClient("http://127.0.0.1:1", { apikey: "k", transports: ["longpoll"], page: null })
    onTestFinished(() => client.close())
    expect(() => client.subscribeToTables([])).toThrow("expected one table or more")
    client.channel("room", { self: true })
    expect(() => client.channel("room")).toThrow("expected the options")
  })

  it("rows of equal queries are one store", () => {
    const client = createClient("http://127.0.0.1:1", { apikey: "k", transports: ["longpoll"], page: null })
    onTestFinished(() => client.close())
    expect(client.rows({ table: "t", limit: 5 })).toBe(client.rows({ limit: 5, table: "t" }))
    expect(client.rows({ table: "t" })).not.toBe(client.rows({ limit: 5, table: "t" }))
  })
})

describe("a list of a client that was closed", () => {
  it("says so, and asks for nothing any more", async () => {
    let asked = 0
    const url = await refusing((_, response) => {
      asked += 1
      response.writeHead(200, { "content-type": "application/json", "tidewire-position": "e.1.0" }).end("[]")
    })
    const client = createClient(url, { apikey: "k", transports: ["longpoll"], page: null })
    const rows = client.rows({ table: "t" })
    client.close()
    await new Promise<void>((resolve) => {
      rows.subscribe(() => rows.getSnapshot().error && resolve())
    })
    expect([rows.getSnapshot().state, rows.getSnapshot().error?.code, asked]).toEqual(["error", "ClientClosed", 1])
  })
})

describe("the bundle", () => {
  it("is at most 16 kB", async () => {
    const built = await build({ root: new URL("..", import.meta.url).pathname, logLevel: "error", build: { write: false } })
    const [output] = Array.isArray(built) ? built : []
    const code = output?.output[0].code ?? ""
    const size = gzipSync(code, { level: 9 }).length
    process.stdout.write(`@tidewire/client: ${size} bytes gzipped\n`)
    expect(code).toContain("createClient")
    expect(size).toBeLessThanOrEqual(16_000)
  })
})
