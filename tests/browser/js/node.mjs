// The puppet in Node: commands are lines on stdin, what happens are lines on stdout. Node 20 has no WebSocket of its own.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

import { makePuppet } from './puppet.mjs'

const [bundle, packages] = process.argv.slice(2)
const { createClient } = await import(pathToFileURL(bundle))
const { WebSocket } = createRequire(pathToFileURL(`${packages}/`))('ws')
const obey = makePuppet({ createClient, WebSocket, tell: (text) => process.stdout.write(`${text}\n`) })

const lines = createInterface({ input: process.stdin })
lines.on('line', obey)
lines.on('close', () => process.exit(0))
