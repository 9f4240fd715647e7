// Joins, tracks, sends and follows a table with stock supabase-js that polls, and prints what it was told as JSON.
// Usage: node polling.mjs FOLDER ALIAS URL KEY

import { createRequire } from 'node:module'

const [folder, alias, url, key] = process.argv.slice(2)
const load = createRequire(`${folder}/package.json`)
const { LongPoll } = createRequire(load.resolve(alias))('@supabase/phoenix')
const make = () =>
  load(alias).createClient(url, key, { auth: { persistSession: false }, realtime: { transport: LongPoll } })

const told = { broadcasts: [], changes: [], joined: [], statuses: [] }
const listener = make()
const sender = make()
const subscribed = (channel) => new Promise((resolve) => channel.subscribe((status) => status === 'SUBSCRIBED' && resolve(status)))
const until = async (enough) => {
  while (!enough()) await new Promise((resolve) => setTimeout(resolve, 10))
}

const here = listener.channel('polled', { config: { broadcast: { ack: true }, presence: { key: 'ada' } } })
let follows = false
here
  .on('system', {}, ({ extension }) => (follows ||= extension === 'postgres_changes'))
  .on('broadcast', { event: 'said' }, ({ payload }) => told.broadcasts.push(payload))
  .on('postgres_changes', { event: 'INSERT', schema: 'public', table: 'polled' }, (change) => told.changes.push(change.new))
  .on('presence', { event: 'join' }, ({ key: who }) => told.joined.push(who))
const there = sender.channel('polled', { config: { broadcast: { ack: true }, presence: { key: 'bob' } } })
told.statuses.push(await subscribed(here), await subscribed(there))
await until(() => follows)

told.tracked = await here.track({ mood: 'fine' })
for (let number = 0; number < 120; number += 1) there.send({ type: 'broadcast', event: 'said', payload: { number } })
told.sent = await there.send({ type: 'broadcast', event: 'said', payload: { number: 120 } })
await sender.from('polled').insert([{ id: 1 }, { id: 2 }])
await until(() => told.broadcasts.length === 121 && told.changes.length === 2 && told.joined.length > 0)
told.left = await here.unsubscribe()
process.stdout.write(JSON.stringify(told))
process.exit(0)
