// Does with the client what it is told, and tells what the client says: the same file in Node and in a browser.
const told = (_, value) => (value instanceof Map ? Object.fromEntries(value) : value instanceof Uint8Array ? { $bytes: [...value] } : value)
const given = (payload) => (payload?.$bytes === undefined ? payload : Uint8Array.from(payload.$bytes))

export function makePuppet({ createClient, tell: tellText, WebSocket }) {
  const tell = (message) => tellText(JSON.stringify(message, told))
  const clients = new Map()
  const tokens = new Map()
  const statuses = new Map() // how often a client has told its status, so that a test knows old news
  const held = new Map() // subscriptions, channels and stores, by name
  const hear = (channel, heard, values = {}) => tell({ channel, heard, ...values })

  const verbs = {
    connect({ client, url, apikey, token, ...options }) {
      tokens.set(client, token)
      const accessToken = token === null ? {} : { accessToken: async () => {
        hear(client, 'asked')
        return tokens.get(client)
      } }
      const made = createClient(url, { apikey, WebSocket, ...accessToken, ...options })
      statuses.set(client, 0)
      made.status.subscribe(() => {
        statuses.set(client, statuses.get(client) + 1)
        hear(client, 'status', { status: made.status.getSnapshot(), number: statuses.get(client) })
      })
      clients.set(client, made)
    },
    follow({ client, name, table, options }) {
      held.set(name, clients.get(client).subscribeToTable(table, (event) => hear(name, 'change', { event }), {
        ...options,
        onReady: () => hear(name, 'ready'),
        onGap: (gap) => hear(name, 'gap', { gap }),
        onError: (error) => hear(name, 'error', { code: error.code, message: error.message }),
      }))
    },
    unfollow: ({ name }) => held.get(name).unsubscribe(),
    rows({ client, name, query }) {
      const store = clients.get(client).rows(query)
      held.set(name, store)
      store.subscribe(() => hear(name, 'rows', { snapshot: store.getSnapshot() }))
    },
    snapshot: ({ name }) => held.get(name).getSnapshot(),
    channel({ client, name, topic, options }) {
      const channel = clients.get(client).channel(topic, options)
      held.set(name, channel)
      channel.status.subscribe(() => hear(name, 'status', channel.status.getSnapshot()))
      channel.onBroadcast('*', ({ event, payload }) => hear(name, 'broadcast', { event, payload }))
      channel.onPresence({
        onJoin: (key, presences) => hear(name, 'join', { key, presences }),
        onLeave: (key, presences) => hear(name, 'leave', { key, presences }),
      })
    },
    send: ({ name, event, payload }) => held.get(name).send(event, given(payload)),
    track: ({ name, meta }) => held.get(name).track(meta),
    present: ({ name }) => held.get(name).presence.getSnapshot(),
    leave: ({ name }) => held.get(name).leave(),
    status: ({ client }) => ({ ...clients.get(client).status.getSnapshot(), number: statuses.get(client) }),
    set_token: ({ client, token }) => void tokens.set(client, token),
    update_token: ({ client }) => clients.get(client).updateToken(),
    reconnect: ({ client }) => clients.get(client).reconnectAll(),
    close: ({ client }) => clients.get(client).close(),
  }

  return async function obey(text) {
    const { id, verb, ...values } = JSON.parse(text)
    try {
      tell({ id, result: (await verbs[verb](values)) ?? null })
    } catch (error) {
      tell({ id, error: `${error.code ?? ''} ${error.message}` })
    }
  }
}
