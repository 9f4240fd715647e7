// Turns lists of /rest/v1 and the row changes behind them into calls of `onRow`, over one WebSocket; `onEmpty` comes before lists are read. Draws nothing.
// Every list says at which position it was read, so what follows is exactly what is not in it, also after a break.

const BEAT_MS = 5000
const LONGEST_PAUSE_MS = 8000
const RENEW_BEFORE_MS = 5 * 60 * 1000

/** Makes a connection for one person. `lists` are `{ table, query }`; the rows of each come first, then its changes. */
export class Live {
  constructor({ schema, lists, askToken, onEmpty, onRow, onStatus }) {
    Object.assign(this, { schema, lists, askToken, onEmpty, onRow, onStatus })
    this.attempt = 0
    this.positions = null // of the lists, until there was a change
    this.after = null // where we stand: behind the last change that was dealt with
  }

  async start() {
    this.onStatus(this.attempt === 0 ? "connecting" : "disconnected")
    try {
      await this.renew()
      if (this.positions === null) await this.read()
      this.open()
    } catch {
      this.again()
    }
  }

  /** Calls the data API as this person, and complains of answers that are none. */
  async ask(path, options = {}) {
    const headers = { apikey: this.token, Authorization: `Bearer ${this.token}`, ...options.headers }
    const answer = await fetch(`/rest/v1/${path}`, { ...options, headers })
    if (!answer.ok) throw new Error((await answer.json()).message)
    return answer
  }

  async renew() {
    const { token, expires_at: expiresAt } = await this.askToken()
    this.token = token
    clearTimeout(this.renewal)
    this.renewal = setTimeout(async () => {
      await this.renew().catch(() => undefined) // without a new token the channel ends, and is joined with one
      this.push("access_token", { access_token: this.token })
    }, expiresAt * 1000 - Date.now() - RENEW_BEFORE_MS)
  }

  async read() {
    const positions = {}
    this.onEmpty()
    for (const { table, query } of this.lists) {
      const answer = await this.ask(`${table}?${query}`)
      positions[table] = answer.headers.get("Tidewire-Position")
      for (const row of await answer.json()) this.onRow(table, { type: "LISTED", row })
    }
    this.positions = positions
  }

  open() {
    const query = new URLSearchParams({ apikey: this.token, vsn: "2.0.0" })
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}/realtime/v1/websocket?${query}`)
    this.socket = socket
    this.ref = 0
    this.beaten = true
    socket.onopen = () => this.join()
    socket.onmessage = ({ data }) => this.socket === socket && this.receive(JSON.parse(data))
    socket.onclose = () => this.socket === socket && this.hangUp()
    this.beat = setInterval(() => this.check(), BEAT_MS)
  }

  join() {
    const changes = this.lists.map(({ table }) => {
      const after = this.after ?? this.positions[table] ?? undefined
      return { event: "*", schema: this.schema, table, after }
    })
    const config = { postgres_changes: changes, presence: { enabled: false } }
    this.joinRef = this.push("phx_join", { config, access_token: this.token })
  }

  push(event, payload, topic = "realtime:demo") {
    if (this.socket?.readyState !== WebSocket.OPEN) return null
    const ref = String(++this.ref)
    this.socket.send(JSON.stringify([topic === "phoenix" ? null : (this.joinRef ?? ref), ref, topic, event, payload]))
    return ref
  }

  receive([, ref, topic, event, payload]) {
    if (topic === "phoenix") this.beaten = true
    else if (event === "postgres_changes") this.take(payload.data)
    else if (event === "phx_reply" && ref === this.joinRef) this.joined(payload)
    else if (event === "phx_error" || event === "phx_close") this.hangUp()
  }

  joined({ status, response }) {
    if (status !== "ok") return this.hangUp()
    if (response.recovered === false) {
      this.after = this.positions = null // too much has happened meanwhile: read the lists again
      return this.hangUp()
    }
    this.attempt = 0
    this.onStatus("connected")
  }

  take(change) {
    const arrived = Date.now()
    this.after = change.position
    const row = change.type === "DELETE" ? change.old_record : change.record
    this.onRow(change.table, { type: change.type, row, arrived, committed: Date.parse(change.commit_timestamp) })
  }

  /** Gives up a connection that has not answered since the last time: the network may be a hole. */
  check() {
    if (!this.beaten) return this.hangUp()
    this.beaten = false
    this.push("heartbeat", {}, "phoenix")
  }

  /** Does not wait for the other end, which may never say anything again. */
  hangUp() {
    clearInterval(this.beat)
    const socket = this.socket
    this.socket = null
    this.joinRef = undefined
    socket.close()
    this.again()
  }

  again() {
    this.attempt += 1
    this.onStatus("disconnected")
    setTimeout(() => this.start(), Math.random() * Math.min(LONGEST_PAUSE_MS, 250 * 2 ** this.attempt))
  }
}
