import{n as e}from"./rolldown-runtime-WkwZ5CU-.js";import{_ as t,h as n,l as r,p as i,t as a,v as o,x as s,y as c}from"./src-B7tSiTyU.js";import{n as l,t as u}from"./dialog-DWvs4BZj.js";import{n as d,t as f}from"./pause-CX46iY1V.js";import{i as p,n as m}from"./feeds-C63Gyj1X.js";import{n as h,t as g}from"./prose-nMpjl4DK.js";import{t as _}from"./page_head-DZ3jBxmO.js";var v=e(n(),1),y=`# Errors

Every error has a stable code, a message of the form *doing what: expected X, got Y*, and a hint. Commands print both on
stderr and end with an exit code other than 0; with \`--json\` they are members of the answer. Never is a secret or a row
part of a message.

## TidewireError

The root of the tree; never raised by itself.

## ConfigurationError

A setting, flag or combination of them cannot be used. Nothing was started. The message names the setting.

## InvalidPosition

A text given as a position was not written by Tidewire. Copy positions whole; they are opaque.

## UnknownTable

A table does not exist in this database or cannot be published. The message lists similar names.

## PostgresError

Postgres refused for a reason that has no name of its own here; the message is Postgres's.

## DatabaseUnreachable

No connection. While following the log this is retried with growing pauses; a command that is just starting gives up and says so. Retryable.

## DatabaseFull

Postgres has no connection left for us: \`max_connections\`, or the limit of the role or database, is reached. Clients that
join meanwhile are told so and come back later. Retryable.

## PoolExhausted

All connections that the server keeps for its own questions stayed busy. Something makes them slow, or there are too few:
\`database_pool\`. Retryable.

## QueryCanceled

Postgres stopped a question of ours because it took longer than \`database_timeout_s\`. Retryable.

## AuthenticationFailed

Postgres refused the user or password, or pg_hba.conf has no line for this connection.

## MissingPrivilege

The role may not do this. Following the log needs REPLICATION, or the membership that a managed service uses instead.

## LogicalDecodingOff

\`wal_level\` is not \`logical\`. It can only be changed with a restart of Postgres.

## SlotTaken

The slot's name belongs to a physical slot, another plugin or another database. Choose another name.

## SlotBusy

Another process is reading the slot. This node waits and takes over; nothing needs to be done. Retryable.

## SlotLost

The slot cannot continue: it was dropped, invalidated or moved on by somebody else. Part of the history is gone, a new epoch begins, and readers must load again.

## DecodeError

The log, an envelope or a value holds bytes that its format does not allow. Reading stops rather than guessing; please report it.

## EmbeddedPostgresError

The bundled server cannot be initialised or started. The hint says what to change.

## MigrationError

The database objects cannot be brought up to date; nothing half-made is left. The hint lists statements for an administrator where a privilege is missing.

## BusError

The bus is closed or cannot deliver.

## SubscriberLagged

A subscriber was slower than the bounded past allows, or asked for a place that is gone. Read the current state, then follow from now.

## TokenRefused

A token or key was not accepted, for the reason in the message: malformed, expired, wrongly signed, or without a needed claim. Clients read the reason; see [tokens](../explain/tokens.md).

## BenchmarkFailed

A benchmark could not be carried out. This says nothing about speed.
`,b=h(`# Log

A server writes what happens to stderr: in words on a terminal, as one JSON object a line elsewhere;
[\`--log-level\`](commands.md) says how much. The console shows the last 500 events, with these words. \`event\` is one of the
names below. A \`code\` beside it is mostly that of an [error](errors.md). Never is a row, a token or a password part of it.

## access_token_hook_failed

The function of \`access_token_hook\` failed, or changed or removed claims that are not its own. Whoever signs in or
refreshes a session is refused meanwhile.

Call the function in psql with the user's claims, and have it return them with yours added.

## accounts_unavailable

Somebody could not sign in, or do something else with an account, because the database did not answer as it should. They
were told to try again.

See what the code says. If it goes on, run \`tidewire doctor\`.

## asgi_application_failed

The application that the server runs inside of raised an exception on a WebSocket of its own. That connection was closed.

The traceback in the log shows where. It is not about Tidewire's clients.

## asgi_application_left_handshake_open

The application that the server runs inside of returned from a WebSocket without accepting or refusing it. The client was
refused.

Have the application send \`websocket.accept\` or \`websocket.close\`.

## broadcast_dropped

A broadcast that the database sent, by \`realtime.send\` or in a transaction, was not delivered: it is malformed or larger
than \`payload_bytes\`.

Look at what sends it; the transaction itself was committed.

## broadcasts_not_kept

Broadcasts that clients wanted to have kept for later readers could not be stored. Who was there has got them.

See what the code says: mostly the database is away, or a partition of \`realtime.messages\` is missing, which
\`tidewire migrate\` makes.

## changes_hidden

Nobody of a role was shown some changes of a table, because it could not be found out who may see them: the database was
away for too long, a question to it failed, or a policy can be judged neither here nor by Postgres. In doubt nothing is
shown.

See the reason. Those who were connected do not get these changes later: have them load the list again.

## connection_disconnected

An operator has sent a client away. Most clients come back by themselves.

Nothing needs to be done.

## console_signed_in

Somebody has come into the console by the link that the server prints when it starts.

If that was none of you, give the server another \`jwt_secret\`: whoever has come in could stay for twelve hours.

## console_token_minted

An operator had a short-lived token made, to see what somebody else sees. The role is named, the user is not.

Nothing needs to be done.

## data_api_answer_cut

An answer of the data API was ended before it was whole: the client read too slowly, or the database failed half-way. The
client sees a broken connection, never a list that looks complete.

If clients read slowly, have them ask for less at a time, or raise \`api_timeout_s\`.

## data_api_failed

A request to the data API failed for a reason that is not the client's. \`code\` is that of the answer or an SQLSTATE.

\`57014\` is a statement that took longer than \`api_timeout_s\`: look for an index that is missing. For the others see the
log of Postgres.

## data_api_unavailable

The data API could not ask the database; clients were told to try again.

See what the code says: with \`PoolExhausted\` requests take long or \`api_pool\` is small, with \`DatabaseUnreachable\` look at
Postgres.

## event_stream_failed

A client of an event stream has gone while something was written to it.

Nothing needs to be done; it comes back and goes on from where it was.

## few_open_files_allowed

The system allows fewer open files than \`max_connections\` needs. Beyond that clients will be refused.

Raise the limit (\`ulimit -n\`, \`LimitNOFILE\` in systemd), or lower \`max_connections\`.

## filter_not_answered

A filter that only Postgres can apply could not be applied to a change: it does not fit the table any more, Postgres
refuses it, or it took too long. Who follows with this filter was not told of that change.

If the table was altered, have clients follow it anew. If it takes long, give the client a simpler filter.

## finding_fixed

An operator has had a fix of \`tidewire doctor\` run from the console. There is one event for each statement, written before
the statement runs.

Nothing needs to be done.

## forwarded_header_ignored

A request came with \`X-Forwarded-For\` from an address that is not among \`trusted_proxies\`. It is told once.

If that is your own proxy, name it in \`trusted_proxies\`: until then all its clients count as one address.

## handshake_refused

A client was not let in: its token is not accepted, or the server is full or stopping. \`status\` is what it was told.

With 401 see the reason: mostly a token has expired, or is signed with another secret. With 400 and 403 the address is not
one that clients of ours make. With 429 and 503 they come back by themselves; if that goes on, raise the limit.

## history_broken

What follows cannot be put behind what was before: the slot was lost, or the database is another one. Clients that come
back are told to load their lists again.

See the reason, and run \`tidewire doctor\` if you have not dropped the slot yourself.

## history_gone

A client that wanted to go on from a position took longer to catch up than the past is kept, or something in the past
cannot be read. It joins again, and is then told whether it has to load its list again.

If that happens often, raise \`history_bytes\` and \`history_age_s\`.

## key_set_unavailable

The keys of \`jwks\` could not be read. Those that are known serve for another day.

See the reason: the address, its certificate or the way to it.

## mail_dropped

An e-mail was not sent because a hundred others wait already. Who wanted it can ask again.

See whether the mail server of \`smtp_url\` is slow or away.

## mail_failed

The mail server did not take an e-mail, or the database failed while it was written. Who wanted it can ask again.

See the reason, \`smtp_url\` and \`mail_from\`.

## messages_unreadable

The table \`realtime.messages\` lacks columns, so that broadcasts from the database cannot be read from it. None is
delivered.

Run \`tidewire migrate\` and \`tidewire doctor\`; the names of the columns stand in \`missing\`.

## past_unreadable

The log that the slot keeps for clients who come back could not be read after a start. It is tried again some times.

If it does not succeed, clients who were connected before the start load their lists again. See the reason.

## permission_unknown

Whether somebody may read or write a private channel could not be found out. They were refused, and may try again.

See what the code says: mostly a privilege is missing that \`tidewire migrate\` grants, or the database is away.

## policy_failed

A policy raises an error for some rows or claims, as it would in a query. Whoever it fails for does not see the row, or may
not enter the channel.

\`sqlstate\` says which error it is: \`22P02\` is a text that is no uuid or number, mostly in a claim. The verdict of the
console names the policy.

## policy_not_compiled

The compiler of policies failed over one of them, which is a defect of ours. Postgres judges it instead, so everybody sees
what they should, but it takes longer.

Please report it with the policy's definition.

## policy_rests

Postgres took too long over a policy, so it is not asked for a while, and its readers are not told of changes meanwhile.

Make the policy cheaper, mostly by an index on what it looks up, or write it so that it is compiled: the page of tables
says what keeps it from that. Then have clients load the list again.

## question_failed

Something unforeseen happened while a client joined a channel. The client is told, and joins again.

If it goes on, please report it with the traceback in the log.

## replay_failed

Broadcasts that are kept could not be read for somebody who joined. The join was refused, and clients try it again.

See what the code says.

## request_failed

A request over HTTP raised an exception, which is a defect of ours. The client got the status 500.

Please report it with the traceback in the log. \`request_id\` is the header that the client got.

## row_unreadable

The log of Postgres holds a value in a form that does not belong to its type. The change was delivered to nobody.

Please report it with the type of the columns of that table.

## schema_not_read

The data API could not look at the tables again after something was changed about them. It goes on with what it knows.

It is tried again by itself. If it goes on, see the reason.

## sending_not_compiled

The small part in C that writes to many sockets at once was not built, so sending to a crowd costs more. Everything works.

Install Tidewire where a C compiler is, or take a wheel for your platform.

## signing_keys_unavailable

The keys that tokens of accounts are signed with could not be read again. Those that are known still verify.

Nothing needs to be done unless signing in fails as well.

## source_status_changed

How the database is followed has changed: \`streaming\`, \`starting\`, \`standby\` while another node follows it, \`reconnecting\`
while the connection is made anew, \`lost\` when the slot is gone.

With \`reconnecting\` see the reason and whether Postgres runs: changes come once it is reached, and none is lost. With
\`lost\` run \`tidewire doctor\`.

## start_failed

The server that is mounted in an application could not start. Requests are answered with 503, and a later one tries
again.

See what the code says.

## stopped_by_failure

The server that is mounted in an application broke. The next request starts it anew.

Please report it with the traceback in the log.

## stopping

The server was asked to stop. It sends its clients away in turn, and they come back to another node or after the start.

Nothing needs to be done.

## task_failed

A part of the server that runs by itself failed. \`task\` names it. What cannot go on without it ends the server, so that
what supervises it starts it anew.

Please report it with the traceback in the log.

## transaction_read_again

A large transaction is read from the log once more, this time in one piece. Nothing is lost and nothing is told twice; it
comes later.

See the reason. If it is room, raise \`spool_bytes\` or make transactions smaller.

## upkeep_failed

The partitions of \`realtime.messages\` for the coming days could not be made, or old ones could not be dropped. It is tried
again.

See the reason: mostly a privilege that \`tidewire migrate\` grants, or a lock that somebody holds.

## uvicorn

The HTTP server below ours has something to say, mostly that somebody sent no HTTP.

Nothing needs to be done unless it stands beside something that does not work.

## verdict_failed

Whether somebody may write to a private channel could not be found out because of a defect of ours. They were refused.

Please report it with the traceback in the log.

## websocket_receiver_failed

A message of a client made the server fail, which is a defect of ours. That connection was closed, and no other.

Please report it with the traceback in the log.

## websocket_send_failed

A client has gone while something was written to it.

Nothing needs to be done; it comes back and goes on from where it was.
`),x=h(y);function S({event:e,code:t}){return[{name:e,paragraphs:b.get(e)},{name:t,paragraphs:x.get(t)}].flatMap(({name:e,paragraphs:t})=>t?[{name:e,paragraphs:t}]:[])}var C=s();function w({event:e,onClose:t}){return(0,C.jsxs)(u,{title:e.code,onClose:t,children:[S(e).map(({name:t,paragraphs:n})=>(0,C.jsxs)(`section`,{className:`words`,"aria-label":t,children:[t!==e.code&&(0,C.jsx)(`h3`,{className:`mono`,children:t}),(0,C.jsx)(g,{paragraphs:n})]},t)),(0,C.jsx)(c,{entries:[[`Time`,r(e.at)],[`Level`,e.level],...Object.entries(e.details).map(([e,t])=>[e,t])]})]})}var T={warning:`warn`,error:`bad`,critical:`bad`};function E(){let{shown:e,isPaused:t,toggle:n}=d(m()),[r,i]=(0,v.useState)(`all`),[o,s]=(0,v.useState)(null),c=(0,v.useMemo)(()=>D(s),[]);return(0,C.jsxs)(`div`,{className:`page`,children:[(0,C.jsxs)(_,{title:`Log`,about:`Operational events, never with rows or tokens in them.`,children:[(0,C.jsxs)(`label`,{className:`filters`,children:[(0,C.jsx)(`span`,{className:`soft`,children:`Show`}),(0,C.jsxs)(`select`,{value:r,onChange:e=>i(e.target.value),children:[(0,C.jsx)(`option`,{value:`all`,children:`everything`}),(0,C.jsx)(`option`,{value:`bad`,children:`warnings and errors`})]})]}),(0,C.jsx)(f,{isPaused:t,toggle:n})]}),(0,C.jsx)(p,{feed:e,title:`Waiting for the log`,children:({events:e})=>(0,C.jsx)(l,{caption:`Logged events`,columns:c,rows:r===`all`?e:e.filter(({level:e})=>e in T),keyOf:e=>e.number,empty:(0,C.jsx)(a,{title:r===`all`?`Nothing was logged yet`:`No warnings and no errors`})})}),o&&(0,C.jsx)(w,{event:o,onClose:()=>s(null)})]})}function D(e){return[{id:`at`,header:`Time`,cell:({at:e})=>(0,C.jsx)(`time`,{title:r(e),children:i(e)})},{id:`level`,header:`Level`,cell:({level:e})=>(0,C.jsx)(t,{tone:T[e]??`plain`,children:e})},{id:`code`,header:`Code`,cell:t=>(0,C.jsx)(O,{event:t,open:e})},{id:`details`,header:`Details`,cell:({details:e})=>(0,C.jsx)(k,{details:e})}]}function O({event:e,open:t}){let n=(0,C.jsx)(`span`,{className:`mono`,children:e.code});return S(e).length===0?n:(0,C.jsx)(o,{kind:`link`,title:`What it means, and what to do`,onClick:()=>t(e),children:n})}function k({details:e}){let{reason:t,hint:n,...r}=e,i=Object.entries(r).map(([e,t])=>`${e}=${t}`);return(0,C.jsxs)(C.Fragment,{children:[t!==void 0&&(0,C.jsx)(`div`,{children:t}),n!==void 0&&(0,C.jsxs)(`div`,{children:[(0,C.jsx)(`strong`,{children:`What helps: `}),n]}),i.length>0&&(0,C.jsx)(`div`,{className:`mono soft`,children:i.join(` `)})]})}export{E as default};