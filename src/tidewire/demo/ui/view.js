// Draws one person's window from rows, and says how long they took. Knows neither the network nor whose token it is.

const SHOWN = 20
const KEPT = 200
const SAMPLES = 100
const JUST_NOW_MS = 60 * 1000
const MONEY = new Intl.NumberFormat("en", { style: "currency", currency: "COP", maximumFractionDigits: 0 })
const MOMENT = new Intl.DateTimeFormat("en", { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" })
const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" })
const HOUR = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" })
const NEXT = {
  professional: { pending: ["confirmed", "cancelled"], confirmed: ["completed"] },
  customer: { pending: ["cancelled"], confirmed: ["cancelled"] },
  desk: {},
}
const VERBS = { confirmed: "Confirm", cancelled: "Cancel", completed: "Complete" }
const DONE = { pending: "asked for", confirmed: "confirmed", cancelled: "cancelled", completed: "completed" }

export const find = (id) => document.getElementById(id)
const fromTemplate = (id) => find(id).content.firstElementChild.cloneNode(true)
const fill = (node, selector, text) => Object.assign(node.querySelector(selector), { textContent: text })
const milliseconds = (ms) => (ms < 1 ? "< 1 ms" : `${Math.round(ms)} ms`)
const isOpen = (row) => row.clicked_at !== null && (row.status === "pending" || row.status === "confirmed")

/** Takes lists with `show`, and changes to bookings with `time`; `onAnswer(id, status)` is called when a button is pressed. */
export class View {
  constructor(person, onAnswer) {
    Object.assign(this, { person, onAnswer, paused: false, drawing: false })
    this.rows = {} // by table, as soon as there is a list
    this.times = new Map()
    this.nodes = new Map()
    this.samples = []
    find("name").textContent = person.name
    find("role").textContent = `${person.kind === "desk" ? "the desk" : person.kind} in ${person.tenant_name}`
    find("bookings-title").textContent = person.kind === "desk" ? `Bookings of ${person.tenant_name}` : "Bookings"
    find("pause").addEventListener("click", () => this.pause(!this.paused))
  }

  show(table, rows) {
    this.rows[table] = rows
    this.draw()
  }

  /** Measures from the click where a person has just made this version of the row, and from its commit where not. */
  time({ eventType, new: row, commit_timestamp: committed }) {
    if (eventType === "DELETE") return
    const arrived = Date.now()
    const fromCommit = arrived - Date.parse(committed)
    const fromClick = row.clicked_at ? arrived - Date.parse(row.clicked_at) : NaN
    const isClicked = fromClick < JUST_NOW_MS
    const took = isClicked ? fromClick : fromCommit
    const words = isClicked ? `${milliseconds(took)} after the click, ${milliseconds(fromCommit)} after the commit` : `${milliseconds(took)} after the commit`
    this.times.delete(row.id) // the newest goes last
    this.times.set(row.id, { took, words, isClicked })
    if (this.times.size > KEPT) this.times.delete(this.times.keys().next().value)
    this.tell(row, { took, words, isClicked })
    this.draw()
  }

  tell(row, { took, words, isClicked }) {
    if (this.paused || (this.held > Date.now() && !isClicked)) return
    if (isClicked) {
      this.held = Date.now() + 8000 // what a person did stays in sight for a while
      this.samples = [...this.samples.slice(1 - SAMPLES), took]
      const sorted = this.samples.toSorted((a, b) => a - b)
      find("travel-median").textContent = `Median of ${sorted.length} from click to screen: ${milliseconds(sorted[sorted.length >> 1])}`
    }
    find("travel").textContent = milliseconds(took)
    find("travel").classList.toggle("clicked", isClicked)
    find("travel-words").textContent = `${row.service} for ${row.customer}, ${DONE[row.status]}: ${words}.`
  }

  pause(paused) {
    this.paused = paused
    find("pause").setAttribute("aria-pressed", String(paused))
    this.draw()
  }

  /** Draws once a frame at most, whatever comes; a hidden window draws when it is looked at again. */
  draw() {
    if (this.drawing || this.paused) return
    this.drawing = true
    requestAnimationFrame(() => {
      this.drawing = false
      if (this.paused) return
      const { bookings, notifications } = this.rows
      // What is open first, and then the newest first, as they come.
      const sorted = bookings?.toSorted((a, b) => isOpen(b) - isOpen(a))
      if (sorted) this.list("bookings", sorted.slice(0, SHOWN), "nothing", (row, time) => this.booking(row, time))
      if (notifications) this.list("notifications", notifications, "no-news", (row) => this.notification(row))
    })
  }

  /** Keeps the nodes of rows that are as they were, so that the focus stays where it is. */
  list(id, rows, empty, make) {
    const list = find(id)
    const wanted = rows.map((row) => {
      const known = this.nodes.get(`${id} ${row.id}`)
      const time = this.times.get(row.id)
      if (known?.row === row && known.time === time) return known.node
      const node = make(row, time)
      this.nodes.set(`${id} ${row.id}`, { row, time, node })
      return node
    })
    const hadFocus = list.contains(document.activeElement)
    const kept = new Set(wanted)
    for (const node of [...list.children]) if (!kept.has(node)) node.remove()
    wanted.forEach((node, index) => {
      if (list.children[index] !== node) list.insertBefore(node, list.children[index] ?? null)
    })
    if (hadFocus && !list.contains(document.activeElement)) (list.querySelector("button") ?? find("pause")).focus()
    const shown = new Set(rows.map((row) => `${id} ${row.id}`))
    for (const key of this.nodes.keys()) if (key.startsWith(`${id} `) && !shown.has(key)) this.nodes.delete(key)
    find(empty).hidden = rows.length > 0
  }

  booking(row, time) {
    const node = fromTemplate("booking")
    node.dataset.id = row.id
    if (time) {
      node.dataset.took = time.took
      node.classList.add(time.isClicked ? "clicked" : "fresh")
    }
    fill(node, ".service", row.service)
    const { kind } = this.person
    const other = { customer: `with ${row.professional}`, professional: `for ${row.customer}`, desk: `${row.customer}, ${row.professional}` }
    fill(node, ".with", other[kind])
    fill(node, ".state", row.status).classList.add(row.status)
    fill(node, ".when", `No. ${row.id} · ${MOMENT.format(new Date(row.starts_at))} · ${MONEY.format(row.total_price_cop)}`)
    fill(node, ".arrival", time ? `arrived ${time.words}` : "")
    for (const status of NEXT[kind][row.status] ?? []) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: VERBS[status] })
      button.setAttribute("aria-label", `${VERBS[status]} No. ${row.id}`)
      button.addEventListener("click", () => this.onAnswer(row.id, status))
      node.querySelector(".actions").append(button)
    }
    return node
  }

  notification(row) {
    const node = fromTemplate("notification")
    fill(node, ".title", row.title)
    const moment = new Date(row.created_at)
    const isToday = moment.toDateString() === new Date().toDateString()
    const time = fill(node, "time", (isToday ? HOUR : DAY).format(moment))
    time.dateTime = row.created_at
    return node
  }
}
