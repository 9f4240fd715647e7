// The puppet in a browser: the test calls `obey`, and reads what is told from `heard`.
import { createClient } from './tidewire-client.js'
import { makePuppet } from './puppet.mjs'

window.heard = []
window.obey = makePuppet({ createClient, tell: (text) => window.heard.push(JSON.parse(text)) })

const Native = window.WebSocket
window.sockets = []
window.WebSocket = class extends Native {
  constructor(...given) {
    super(...given)
    window.sockets.push(this)
  }
}
