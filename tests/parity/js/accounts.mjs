// Signs up, in, on and out with supabase-js as an application would, and prints what it was told, as one JSON document.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [folder, name, url, key, adminKey, email] = process.argv.slice(2)
const require = createRequire(pathToFileURL(`${folder}/`))
const { createClient } = require(name)
const transport = globalThis.WebSocket ?? require('ws') // Node 20 has none of its own
const make = (given) =>
  createClient(url, given, { auth: { autoRefreshToken: false, persistSession: false }, realtime: { transport } })

class Store extends Map {
  getItem = (name) => this.get(name) ?? null
  setItem = (name, value) => void this.set(name, value)
  removeItem = (name) => void this.delete(name)
}
const said = ({ data, error }) => ({ data, error: error && { name: error.name, code: error.code, status: error.status } })
const password = 'correct horse'
const told = {}
const here = make(key)
const there = make(key)
const admin = make(adminKey).auth.admin

told.signUp = said(await here.auth.signUp({ email, password, options: { data: { name: 'Ada' } } }))
told.again = said(await there.auth.signUp({ email, password }))
told.weak = said(await there.auth.signUp({ email: `x${email}`, password: 'short' }))
told.wrong = said(await there.auth.signInWithPassword({ email, password: 'wrong horse' }))
told.signIn = said(await there.auth.signInWithPassword({ email, password }))
told.user = said(await there.auth.getUser())
told.claims = said(await there.auth.getClaims())
told.update = said(await here.auth.updateUser({ data: { name: null, team: 7 } }))

const before = (await here.auth.getSession()).data.session
told.refresh = said(await here.auth.refreshSession())
told.refreshAgain = said(await make(key).auth.refreshSession(before))
told.password = said(await here.auth.updateUser({ password: 'battery staple' }))
told.ended = said(await there.auth.refreshSession())

const channel = here.channel('accounts')
told.joined = await new Promise((resolve) => channel.subscribe((status) => status !== 'CLOSED' && resolve(status)))
await here.removeAllChannels()

told.listed = said(await admin.listUsers({ page: 1, perPage: 1 }))
told.made = said(await admin.createUser({ email: `made-${email}`, password, email_confirm: true, app_metadata: { a: 1 } }))
const id = told.made.data.user?.id
told.found = said(await admin.getUserById(id))
told.changed = said(await admin.updateUserById(id, { ban_duration: '1h', user_metadata: { b: 2 } }))
told.banned = said(await make(key).auth.signInWithPassword({ email: `made-${email}`, password }))
const linked = await admin.generateLink({ type: 'magiclink', email })
told.link = said(linked)
told.byHash = said(
  await make(key).auth.verifyOtp({ type: 'magiclink', token_hash: linked.data.properties?.hashed_token }),
)
told.reauthenticate = said(await here.auth.reauthenticate())
told.pkce = said(
  await createClient(url, key, { auth: { flowType: 'pkce', persistSession: true, autoRefreshToken: false, storage: new Store() }, realtime: { transport } })
    .auth.signInWithOtp({ email: `pkce-${email}` }),
)
told.deleted = said(await admin.deleteUser(id))
told.gone = said(await admin.getUserById(id))
told.notAdmin = said(await make(key).auth.admin.listUsers())
told.anonymous = said(await make(key).auth.signInAnonymously())
told.otp = said(await make(key).auth.signInWithOtp({ email }))
told.recover = said(await make(key).auth.resetPasswordForEmail(email))
told.noCode = said(await make(key).auth.verifyOtp({ email, token: '000000', type: 'email' }))
const last = (await here.auth.getSession()).data.session
told.signOut = said({ data: null, ...(await here.auth.signOut()) })
told.after = said(await make(key).auth.refreshSession(last))
told.afterwards = said(await here.auth.getUser())

console.log(JSON.stringify(told))
process.exit(0)
