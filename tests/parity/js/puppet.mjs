// Does with supabase-js what it is told, and tells what the client says: the same file in Node and in a browser.
// The client itself is not touched. What goes in and out is plain JSON; bytes are {"$bytes": base64}.

const toBytes = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer
const fromBytes = (buffer) => ({ $bytes: btoa(String.fromCharCode(...new Uint8Array(buffer))) })
const given = (payload) => (payload?.$bytes === undefined ? payload : toBytes(payload.$bytes))
const told = (_, value) => (value instanceof ArrayBuffer || ArrayBuffer.isView(value) ? fromBytes(value) : value)

export function makePuppet({ createClient, tell: tellText, transport }) {
  const tell = (message) => tellText(JSON.stringify(message, told))
  const clients = new Map()
  const channels = new Map()
  const tokens = new Map()

  function listen(channel, name, { broadcast, presence, changes }) {
    const hear = (heard, values) => tell({ channel: name, heard, ...values })
    channel.on('system', {}, (payload) => hear('system', { payload }))
    for (const event of broadcast) {
      channel.on('broadcast', { event }, ({ event: sent, payload, meta }) => hear('broadcast', { event: sent, payload, meta }))
    }
    if (presence) {
      channel.on('presence', { event: 'sync' }, () => hear('sync', { state: channel.presenceState() }))
      channel.on('presence', { event: 'join' }, ({ key, newPresences }) => hear('join', { key, presences: newPresences }))
      channel.on('presence', { event: 'leave' }, ({ key, leftPresences }) => hear('leave', { key, presences: leftPresences }))
    }
    changes.forEach((binding, index) =>
      channel.on('postgres_changes', binding, (payload) => hear('change', { binding: index, payload })),
    )
  }

  const verbs = {
    connect({ client, url, key, token, realtime }) {
      tokens.set(client, token)
      const heartbeatCallback = (status) => tell({ channel: client, heard: 'heartbeat', status })
      const options = { auth: { persistSession: false, autoRefreshToken: false }, realtime: { transport, heartbeatCallback, ...realtime } }
      if (token) options.accessToken = async () => tokens.get(client)
      clients.set(client, createClient(url, key, options))
    },
    channel({ client, channel, topic, config, ...wishes }) {
      const made = clients.get(client).channel(topic, { config })
      listen(made, channel, wishes)
      channels.set(channel, made)
    },
    subscribe({ channel }) {
      channels.get(channel).subscribe((status, error) =>
        tell({ channel, heard: 'status', status, error: error?.message ?? null }),
      )
    },
    send: ({ channel, event, payload, ...wishes }) =>
      channels.get(channel).send({ type: 'broadcast', event, payload: given(payload), ...wishes }),
    http_send: ({ channel, event, payload, ...wishes }) => channels.get(channel).httpSend(event, given(payload), wishes),
    track: ({ channel, payload }) => channels.get(channel).track(payload),
    untrack: ({ channel }) => channels.get(channel).untrack(),
    unsubscribe: ({ channel }) => channels.get(channel).unsubscribe(),
    async set_auth({ client, token }) {
      tokens.set(client, token)
      await clients.get(client).realtime.setAuth(token)
    },
    // Calls of the data API in a row, such as [["from", "t"], ["select", "*"]], and what they came to.
    async query({ client, calls }) {
      let query = clients.get(client)
      for (const [method, ...given] of calls) query = query[method](...given)
      const { status, count, data, error } = await query
      return { status, count, data, error }
    },
    async auth({ client, method, given }) {
      const { data, error } = await clients.get(client).auth[method](...given)
      return { data, error: error && { code: error.code, status: error.status } }
    },
    disconnect: ({ client }) => clients.get(client).realtime.disconnect(),
    close({ client }) {
      const { realtime } = clients.get(client)
      clients.delete(client)
      realtime.removeAllChannels().finally(() => realtime.disconnect()) // its pauses are not the test's
    },
  }

  return async function obey(text) {
    const { id, verb, ...values } = JSON.parse(text)
    try {
      tell({ id, result: (await verbs[verb](values)) ?? null })
    } catch (error) {
      tell({ id, error: error.message })
    }
  }
}
