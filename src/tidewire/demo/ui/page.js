// Shows the start, or with ?as=NAME the window of that person: connects the view to the server with @tidewire/client.

import { createClient } from "./tidewire-client.js"
import { find, View } from "./view.js"

const SCHEMA = "tidewire_demo"
const LISTS = { bookings: 40, notifications: 5 }
const STATES = { connecting: "connecting", partial: "connecting", connected: "live", disconnected: "trying again" }
const SAID = {
  ana: "Books somebody, and sees her own bookings only.",
  ben: "Is booked, confirms, and sees what concerns him.",
  dora: "Sees every booking in Marea, and writes none.",
  cleo: "Sees every booking in Sierra, and none of Marea.",
}
const ORDER = Object.keys(SAID)

async function fetchJson(path, options) {
  const answer = await fetch(path, options)
  if (!answer.ok) throw new Error((await answer.json()).message)
  return answer.json()
}

/** Opens half of the screen where there is room for two; elsewhere the link opens a tab. */
function openBeside(event, { handle }) {
  if (screen.availWidth < 900 || event.ctrlKey || event.metaKey || event.shiftKey) return
  const width = Math.floor(screen.availWidth / 2)
  const left = ORDER.indexOf(handle) % 2 === 0 ? 0 : width
  const opened = window.open(event.currentTarget.href, `demo-${handle}`, `popup,width=${width},height=${screen.availHeight},left=${left},top=0`)
  if (opened) event.preventDefault()
}

function showLanding(people) {
  find("landing").hidden = false
  const byHandle = new Map(people.map((person) => [person.handle, person]))
  for (const handle of ORDER) {
    const person = byHandle.get(handle)
    const card = find("person").content.firstElementChild.cloneNode(true)
    card.querySelector("h2").textContent = person.name
    card.querySelector("p").textContent = SAID[handle]
    const link = card.querySelector("a")
    Object.assign(link, { href: `/?as=${handle}`, target: `demo-${handle}`, textContent: `Open as ${person.name.split(" ")[0]}` })
    link.classList.toggle("primary", handle === "ana" || handle === "ben")
    link.addEventListener("click", (event) => openBeside(event, person))
    find("people").append(card)
  }
}

function showStatus(state) {
  find("status").hidden = false
  find("status").dataset.state = state
  find("status-word").textContent = STATES[state]
}

/** Makes a client for one person, and `ask`, which calls the data API as that person. */
async function connect({ handle }) {
  const askToken = () => fetchJson(`/demo/token?as=${handle}`, { method: "POST" })
  const { key, ...first } = await askToken()
  let { token } = first
  const accessToken = async () => {
    token = (await askToken()).token // the client asks in time, so that this one is good for `ask` as well
    return token
  }
  const ask = async (path, options = {}) => {
    const headers = { apikey: key, Authorization: `Bearer ${token}`, ...options.headers }
    const answer = await fetch(`/rest/v1/${path}`, { ...options, headers })
    if (!answer.ok) throw new Error((await answer.json()).message)
    return answer
  }
  return { client: createClient(location.origin, { apikey: key, accessToken }), ask }
}

/** Writes with the moment of the click in the row itself, by this machine's clock, which the other window reads as well. */
async function write(ask, path, method, values) {
  const body = JSON.stringify({ ...values, clicked_at: new Date().toISOString() })
  const headers = { "Content-Type": "application/json", Prefer: "return=minimal" }
  try {
    await ask(path, { method, headers, body })
    find("told").textContent = "Committed. Look at the other window."
  } catch (error) {
    find("told").textContent = `That was refused: ${error.message}`
  }
}

function tomorrowAtTen() {
  const moment = new Date()
  moment.setDate(moment.getDate() + 1)
  moment.setHours(10, 0, 0, 0)
  return moment.toISOString()
}

async function offerBooking(ask) {
  const professionals = await (await ask("professionals?select=id,name,service&order=name")).json()
  const first = professionals.findIndex(({ name }) => name === "Ben Farol")
  professionals.unshift(...professionals.splice(first, 1))
  for (const { id, name, service } of professionals) find("professional").append(new Option(`${name}: ${service}`, id))
  find("book").hidden = false
  find("book").addEventListener("submit", (event) => {
    event.preventDefault()
    write(ask, "bookings", "POST", { professional_id: find("professional").value, starts_at: tomorrowAtTen() })
  })
}

async function showWindow(person) {
  document.title = `${person.name} · Tidewire demo`
  const { client, ask } = await connect(person)
  const view = new View(person, (id, status) => write(ask, `bookings?id=eq.${id}`, "PATCH", { status }))
  for (const [table, limit] of Object.entries(LISTS)) {
    const rows = client.rows({ table, schema: SCHEMA, order: "id.desc", limit })
    rows.subscribe(() => {
      const snapshot = rows.getSnapshot()
      if (snapshot.state === "live" || snapshot.state === "stale") view.show(table, snapshot.rows)
    })
  }
  client.subscribeToTable("bookings", (event) => view.time(event), { schema: SCHEMA })
  client.status.subscribe(() => showStatus(client.status.getSnapshot().state))
  showStatus("connecting")
  find("window").hidden = false
  if (person.kind === "customer") await offerBooking(ask)
}

const people = await fetchJson("/demo/people")
const wanted = new URLSearchParams(location.search).get("as")
const person = people.find(({ handle }) => handle === wanted)
if (person) await showWindow(person)
else showLanding(people)
