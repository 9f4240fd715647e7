// The puppet in Node: commands are lines on stdin, what happens are lines on stdout. The argument names the client's package.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

import { makePuppet } from './puppet.mjs'

const [folder, name] = process.argv.slice(2)
const require = createRequire(pathToFileURL(`${folder}/`))
const { createClient } = require(name)
const transport = globalThis.WebSocket ?? require('ws') // Node 20 has none of its own
const obey = makePuppet({ createClient, transport, tell: (text) => process.stdout.write(`${text}\n`) })

const lines = createInterface({ input: process.stdin })
lines.on('line', obey)
lines.on('close', () => process.exit(0))
