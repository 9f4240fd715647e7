// Runs calls of the data API, given as JSON on stdin, through one stock supabase-js, and prints what each came to.
// Usage: node data.mjs FOLDER ALIAS URL KEY

import { createRequire } from 'node:module'
import { text } from 'node:stream/consumers'

const [folder, alias, url, key] = process.argv.slice(2)
const load = createRequire(`${folder}/package.json`)
const client = load(alias).createClient(url, key, {
  auth: { persistSession: false, autoRefreshToken: false },
  realtime: { transport: load('ws') },  // Node 20 has no WebSocket of its own, and the client wants one in any case
})

const answers = []
for (const calls of JSON.parse(await text(process.stdin))) {
  let query = client
  for (const [method, ...args] of calls) query = query[method](...args)
  const { status, count, data, error } = await query
  answers.push({ status, count, data, error })
}
process.stdout.write(JSON.stringify(answers))
process.exit(0)
