import{n as e}from"./rolldown-runtime-WkwZ5CU-.js";import{_ as t,a as n,b as r,c as i,f as a,h as o,l as s,n as c,o as l,t as u,v as d,x as f,y as p}from"./src-B4nZNRut.js";import{n as m,t as h}from"./use_asked-Dk5jpnOy.js";import{n as ee,t as g}from"./dialog-YA3tzkYk.js";import{t as _}from"./page_head-C7XfGPWy.js";import{n as v,t as y}from"./prose-By_AKd7k.js";import{n as b}from"./dist-BE-uFQ7E.js";import{i as x,o as S,r as C,u as w}from"./index-wG687EB8.js";var T={name:`refresh-cw`,size:24,node:[[`path`,{d:`M3 12a9 9 0 0 1 9-9 9.75 9.75 0 0 1 6.74 2.74L21 8`,key:`v9h5vc`}],[`path`,{d:`M21 3v5h-5`,key:`1q7to0`}],[`path`,{d:`M21 12a9 9 0 0 1-9 9 9.75 9.75 0 0 1-6.74-2.74L3 16`,key:`3uifl3`}],[`path`,{d:`M8 16H3v5`,key:`1cv678`}]]};T.node;var E=n(T),D=e(o(),1),O={default:`primary key`,full:`whole row`,nothing:`nothing`,index:`an index`},k=[`error`,`warning`,`ok`],A={error:`bad`,warning:`warn`,ok:`plain`},j=({schema:e,name:t})=>`${e}.${t}`;function M({identity:e,primary_key:t}){return e===`nothing`||e==="default"&&t.length===0?{tone:`bad`,word:O.nothing}:{tone:`plain`,word:O[e]}}function N({row_security:e,policies:t}){let n=t===1?`1 policy`:`${t} policies`;return e?{tone:`good`,word:`on, ${n}`}:t>0?{tone:`bad`,word:`off, ${n}`}:{tone:`warn`,word:`off`}}function P({role:e,policies:t,why:n,hidden_columns:r},i){let a=r.length>0?`, but not ${r.join(`, `)}`:``,o=`The rows that its policies admit${a}.`;switch(t){case`gone`:return{tone:`warn`,word:`no such role`,sees:`Nothing: the database has no role of this name.`,why:n};case`closed`:return{tone:`plain`,word:`closed`,sees:`Nothing: it may not SELECT.`,why:n};case`open`:return{tone:i||e===`service_role`?`plain`:`warn`,word:`open`,sees:`Every row${a}: no policy binds it.`,why:n};case`compiled`:return{tone:`good`,word:`compiled`,sees:o,why:``};case`postgres`:return{tone:`plain`,word:`by Postgres`,sees:o,why:n||`Its policies cannot be compiled.`}}}function te(e,t){let n=new Map(e?.tables.map(e=>[JSON.stringify(e),e]));return{tables:t.tables.map(e=>n.get(JSON.stringify(e))??e)}}function F(e,t){return e===null||e.toLowerCase().includes(t.trim().toLowerCase())}function I(e){let t=new Map;for(let n of e){if(n.severity===`ok`)continue;let e=`${n.severity} ${n.code}`;t.set(e,[...t.get(e)??[],n])}return[...t.values()].flatMap(e=>e[0]?[{code:e[0].code,severity:e[0].severity,findings:e}]:[]).sort((e,t)=>k.indexOf(e.severity)-k.indexOf(t.severity))}function L(e,t){let n=e.filter(e=>e.severity!==`ok`&&(t===void 0||e.table===t)),r=n.filter(({severity:e})=>e===`error`).length,i=[R(r,`error`),R(n.length-r,`warning`)].filter(e=>e!==``);return i.length===0?null:{tone:r>0?`bad`:`warn`,word:i.join(`, `)}}var R=(e,t)=>e===0?``:`${e} ${t}${e>1?`s`:``}`,z=`# tidewire doctor

\`tidewire doctor\` looks at a database and says what keeps changes from arriving, with the exact command or SQL that
repairs it. It changes nothing: it reads the catalogue in one read-only transaction of at most a few seconds, and an
ordinary role is enough.

\`\`\`console
$ tidewire doctor
PostgreSQL 18.4, database shop, role tide

errors
  ReplicaIdentity  public.orders has no replica identity, so Postgres refuses
  every UPDATE and DELETE
    fix  ALTER TABLE "public"."orders" REPLICA IDENTITY FULL;

1 error: run the fixes from the top, then tidewire doctor again.
\`\`\`

| option | meaning |
|---|---|
| \`--database-url URL\` | the database; otherwise \`DATABASE_URL\`, otherwise the embedded one |
| \`-t\`, \`--table NAME\` | look at this table only, published or not (repeatable). Names are read as SQL reads them; without a schema, \`public\` is meant |
| \`-v\`, \`--verbose\` | list what is fine as well |
| \`--json\` | print one JSON document |

| exit code | meaning |
|---|---|
| 0 | healthy |
| 1 | warnings only |
| 2 | errors, or no connection |

The JSON document is \`{"ok": …, "server": {"version", "database", "role"}, "findings": […], "unseen": […]}\`. A finding has
\`code\`, \`severity\` (\`ok\`, \`warning\` or \`error\`) and \`message\`, and where they apply \`fix\` and \`table\`; every check gives at
least one. \`unseen\` lists what the role was not allowed to look at, each with the grant that would allow it. Without a
connection \`server\` is null and the only finding carries the error's code.

On a terminal at most ten findings of one code are shown; the JSON document has them all.

Managed services refuse \`ALTER SYSTEM\`. On Amazon RDS, Google Cloud SQL and Azure the fix names the provider's setting
instead. Where a setting was made for one role or one database, the fix changes it there.

## Server

### ServerVersion
PostgreSQL 14 to 18 are supported. Older ones lack what Tidewire needs; newer ones are not tested yet.

### Primary
Tidewire follows the primary server. Name it in \`DATABASE_URL\`, or list all hosts and add \`target_session_attrs=read-write\`.

### WalLevel
Row changes are in the log only with \`wal_level = logical\`. Changing it takes a restart of Postgres.

### ReplicationSlots
Tidewire needs one replication slot of its own, and a second one for moments after a start. Raise \`max_replication_slots\`, or drop a slot that nobody uses.

### WalSenders
Tidewire needs one WAL sender while it streams, and a second one for moments after a start. Raise \`max_wal_senders\`.

### ReplicationPrivilege
The role needs \`REPLICATION\` (on Amazon RDS: membership in \`rds_replication\`). It does not have to be a superuser.

### Connections
Nine tenths of the connections are in use. After a network failure Tidewire may not get back in.

### Encoding
A \`SQL_ASCII\` database holds bytes of any encoding, so some texts cannot be delivered. Other encodings are converted to
UTF-8 by Postgres and are reported as fine.

### Encryption
The connection leaves this machine without TLS. \`sslmode=verify-full\` encrypts it and checks the server's certificate.

### ClockSkew
The clocks of the server and of this machine differ by more than a second. Latency figures and the expiry of tokens
depend on them; the order of changes does not.

### WalSenderTimeout
With 0, a reader that vanished without a word keeps its slot busy for ever. Below five seconds, a short pause of the reader
already ends the stream.

### DecodingMemory
Transactions larger than \`logical_decoding_work_mem\` are written to disk before they are sent. Below 16 MB that happens to
quite ordinary ones.

### SynchronousCommit
With \`synchronous_commit = off\` a commit is delivered only after the WAL writer has written it: half of all changes
arrive after 116 ms or more at the default \`wal_writer_delay\` of 200 ms, and after 8.5 ms at 10 ms.

### Fsync
With \`fsync = off\` a crash of the machine may undo what readers have already seen, and may damage the whole database.

## Publications

### Migrations
\`tidewire migrate\` makes the roles, schemas and functions that Tidewire needs, and keeps them up to date.

### Publications
A publication that Tidewire follows is missing. The names come from the setting \`publications\`.

### PublishedOperations
The publication leaves out some of INSERT, UPDATE, DELETE and TRUNCATE, so readers never hear of them.

### PartitionRoot
The publication sends changes of partitions under the partitions' names. Readers follow the partitioned table, and get
nothing until \`publish_via_partition_root\` is set.

### LonePartitions
A partition is published, but not the table that it belongs to, so changes come under the partition's name.

### PublishedTables
No table of yours is published. The fix names a few of your tables as an example; \`tidewire publish\` does the same.

### Membership
A table that you asked about with \`--table\` is in none of the publications that Tidewire follows.

## Replication slot

### SlotOwner
The slot's name is taken: by a physical slot, by another plugin, or by another database of the same server. Choose another
name with \`TIDEWIRE_SLOT\`. A slot that does not exist yet is fine; the first start makes it.

### SlotLost
Postgres has removed log that the slot still needed, or has invalidated the slot. The history has a hole that nothing can
fill: drop the slot and start Tidewire, which makes a new one and tells its readers to load their data again.

### SlotIdle
Nobody has read the slot for ten minutes (before PostgreSQL 17, which does not remember since when: nobody reads it and it
keeps 256 MB of log more than \`retention_bytes\`). Start Tidewire, or drop the slot if it is not coming back.

### SlotRetention
The slot keeps much log. If it is \`unreserved\`, the next checkpoint makes it unusable; raise \`max_slot_wal_keep_size\` at once.

### SlotLag
The slot is being read, but its reader is further behind than the log that is kept on purpose, by more than 256 MB.

### OtherSlots
Another slot has no reader and keeps more than 64 MB of log. It may belong to a forgotten replica or to another tool.

### WalKeepLimit
Without \`max_slot_wal_keep_size\`, a slot that nobody reads keeps log until the disk is full and Postgres stops. Choose a limit
that the disk can hold and that lasts for the longest pause you plan for.

### RetentionRoom
\`max_slot_wal_keep_size\` is less than twice [retention_bytes](settings.md#retention_bytes). Tidewire then keeps half of it,
so that the slot is not lost over what it keeps on purpose, and clients who were away for long load their data again.

### IdleSlotTimeout
PostgreSQL 18 can invalidate slots that are idle for some time. A longer pause of Tidewire then costs every reader a reload.

### LongTransactions
A session has written something and not committed for more than ten minutes. Postgres keeps all log since then, and a new
slot has to wait for it. Roles without \`pg_read_all_stats\` see their own sessions only.

### PreparedTransactions
A transaction prepared for two-phase commit has been forgotten. It holds the log back as an open one does.

## Tables

### Persistence
Changes of temporary and unlogged tables and partitions are never in the log.

### PrimaryKey
Without a primary key readers cannot tell which row a change belongs to.

### ReplicaIdentity
Nothing identifies the rows in the log, so **Postgres refuses every UPDATE and DELETE** of this published table. In a
partitioned table the identity of each partition counts.

### OldRecord
Old rows carry the key only. For a table whose policies look at other columns, nobody can decide who may see a DELETE. With
\`REPLICA IDENTITY FULL\` old rows are complete, at the price of more log for each UPDATE and DELETE.

### GeneratedColumns
Stored generated columns are in the log from PostgreSQL 18 on, if the publication asks for them. Virtual ones never are.

### ColumnList
The publication publishes some of the columns. If the hidden ones belong to the replica identity, Postgres refuses every
UPDATE and DELETE; otherwise this is your choice and reported as fine.

### RowFilter
The publication publishes some of the rows. An update that takes a row out of the filter arrives as a DELETE.
If the filter reads columns that the replica identity lacks, Postgres refuses every UPDATE and DELETE.

## Access

### ReadPrivilege
Neither \`anon\` nor \`authenticated\` may SELECT from the table. If only \`service_role\` is meant to read it, ignore this.

### RowSecurity
Row-level security is off although readers can reach the table, so each of them sees every row. If policies exist already,
this is an error: they look like protection and are not.

### ReadPolicies
Row-level security is on and no permissive policy covers SELECT, so only roles that bypass it see anything. The proposed
policy is a start: put your own rule into it.

### RuleChanges
Two event triggers, \`tidewire_rules\` and \`tidewire_rules_dropped\`, say in the log that privileges or policies may have
changed. In most databases only a superuser may make them, so a \`tidewire migrate\` of somebody else goes on without. Then
Tidewire still notices changes of a table that has rows of its own, by how Postgres describes it in the log. It does not
notice those of a partitioned table, of the schema, or of functions and types that policies use, until somebody calls
\`realtime.rules_changed()\`; until then readers may be shown what they may no longer see. The fix has the one step
of the migration done again, by a role that may do all of it.
`,B=f();function V({title:e,text:t}){return(0,B.jsxs)(`figure`,{className:`sql`,"aria-label":e,children:[(0,B.jsxs)(`figcaption`,{className:`row`,children:[(0,B.jsx)(`span`,{className:`soft`,children:e}),isSecureContext&&(0,B.jsx)(d,{kind:`link`,onClick:()=>{navigator.clipboard.writeText(t).then(()=>b.success(`Copied`),()=>b.error(`The browser does not allow that. Mark the text and copy it.`))},children:`Copy`})]}),(0,B.jsx)(`pre`,{children:(0,B.jsx)(`code`,{children:t})})]})}var H=v(z),U=10;function W({findings:e,onFix:t}){let n=I(e),r=e.filter(({severity:e})=>e===`ok`);return(0,B.jsxs)(B.Fragment,{children:[n.length===0?(0,B.jsx)(u,{title:`Nothing keeps changes from arriving`}):n.map(e=>(0,B.jsx)(G,{group:e,onFix:t},`${e.severity} ${e.code}`)),(0,B.jsx)(q,{findings:r,onFix:t})]})}function G({group:{code:e,severity:n,findings:r},onFix:i}){let[a,o]=(0,D.useState)(!1),s=a?r:r.slice(0,U),c=r.length-s.length;return(0,B.jsxs)(`article`,{className:`finding`,"aria-label":e,children:[(0,B.jsxs)(`div`,{className:`row`,children:[(0,B.jsx)(`h3`,{children:e}),(0,B.jsx)(t,{tone:A[n],children:n})]}),(0,B.jsx)(y,{paragraphs:H.get(e)??[]}),(0,B.jsx)(`ul`,{children:s.map(e=>(0,B.jsx)(K,{finding:e,onFix:i},J(e)))}),c>0&&(0,B.jsx)(d,{kind:`quiet`,onClick:()=>o(!0),children:`Show ${c} more`})]})}function K({finding:e,onFix:t}){let{code:n,table:r,message:i,fix:a,runnable:o}=e;return(0,B.jsxs)(`li`,{children:[(0,B.jsxs)(`p`,{children:[r!==null&&(0,B.jsxs)(B.Fragment,{children:[(0,B.jsx)(`strong`,{className:`mono`,children:r}),` `]}),i]}),o&&(0,B.jsx)(d,{"aria-label":`Fix ${n}${r===null?``:` of ${r}`}`,onClick:()=>t(e),children:`Fix`}),!o&&a!==``&&(0,B.jsx)(V,{title:`For you to run, after reading it`,text:a})]})}function q({findings:e,onFix:t}){return e.length===0?null:(0,B.jsxs)(`details`,{className:`finding`,children:[(0,B.jsx)(`summary`,{children:e.length===1?`1 check is fine`:`${e.length} checks are fine`}),(0,B.jsx)(`ul`,{children:e.map(e=>(0,B.jsx)(K,{finding:e,onFix:t},J(e)))})]})}var J=({id:e,message:t,table:n})=>[e,n,t].join(` `);function Y({finding:e,onTried:t,onClose:n}){let{stage:r,run:i}=Z(e.id,t),{code:a,table:o,message:s,fix:l}=e;return(0,B.jsx)(g,{title:`Fix ${a}`,onClose:n,children:r.kind===`done`?(0,B.jsx)(X,{ran:r.ran,onClose:n}):(0,B.jsxs)(B.Fragment,{children:[(0,B.jsxs)(`p`,{children:[o!==null&&(0,B.jsxs)(`strong`,{className:`mono`,children:[o,` `]}),s]}),(0,B.jsx)(V,{title:`This would be run`,text:l}),r.kind===`failed`?(0,B.jsxs)(c,{title:r.error.message,children:[r.error.hint,l.includes(`
`)&&` Statements before the one that failed have run.`]}):(0,B.jsx)(`p`,{className:`soft`,children:`It runs as the role that the server connects with, and waits for locks for three seconds at most.`}),(0,B.jsxs)(`div`,{className:`row`,children:[(0,B.jsx)(d,{kind:`primary`,onClick:i,"aria-busy":r.kind===`running`,children:r.kind===`failed`?`Run it again`:`Run it`}),(0,B.jsx)(d,{onClick:n,children:`Cancel`})]})]})})}function X({ran:e,onClose:t}){return(0,B.jsxs)(B.Fragment,{children:[(0,B.jsxs)(`p`,{role:`status`,children:[(0,B.jsx)(`strong`,{children:`Done.`}),` Doctor looks again.`]}),(0,B.jsx)(V,{title:`This was run`,text:e.join(`
`)}),(0,B.jsx)(`div`,{className:`row`,children:(0,B.jsx)(d,{kind:`primary`,autoFocus:!0,onClick:t,children:`Good`})})]})}function Z(e,t){let[n,r]=(0,D.useState)({kind:`asking`});return{stage:n,run:()=>{n.kind!==`running`&&(r({kind:`running`}),S(`/doctor/${e}/fix`,{},C.token).then(({ran:e})=>r({kind:`done`,ran:e}),e=>r({kind:`failed`,error:e instanceof x?e:new x(0,null)})).finally(t))}}}function ne({table:e,onClose:t}){let n=`/tables/${encodeURIComponent(e.schema)}/${encodeURIComponent(e.name)}`,r=h(n);return(0,B.jsxs)(g,{title:j(e),onClose:t,children:[(0,B.jsx)(p,{entries:[[`Publications`,e.publications.join(`, `)||`through its partitioned table`],[`Primary key`,e.primary_key.join(`, `)||`none`],[`Old rows carry`,M(e).word],[`Row-level security`,N(e).word],[`Partitioned`,e.partitioned?`yes`:`no`],[`Followed by`,`${e.subscriptions} subscriptions in ${e.audiences} audiences`],[`Changes`,`${a(e.changes_per_s)} per s`]]}),(0,B.jsxs)(`section`,{className:`words`,"aria-label":`Roles`,children:[(0,B.jsx)(`h3`,{children:`What each role sees`}),(0,B.jsx)(m,{asked:r,title:`Asking for the roles`,children:({roles:t})=>(0,B.jsx)(re,{roles:t,isGuarded:e.row_security})})]})]})}function re({roles:e,isGuarded:n}){return(0,B.jsx)(`ul`,{className:`roles`,children:e.map(e=>{let{tone:r,word:i,sees:a,why:o}=P(e,n);return(0,B.jsxs)(`li`,{children:[(0,B.jsxs)(`div`,{className:`row`,children:[(0,B.jsx)(`span`,{className:`mono`,children:e.role}),(0,B.jsx)(t,{tone:r,children:i})]}),(0,B.jsx)(`p`,{children:a}),o!==``&&(0,B.jsxs)(`p`,{children:[(0,B.jsx)(`strong`,{children:`Why not compiled: `}),o]})]},e.role)})})}var Q=200;function ie({tables:e,wanted:t,findings:n,onOpen:r}){let a=(0,D.useMemo)(()=>ae(r,n),[r,n]),o=e.filter(e=>F(j(e),t));return(0,B.jsxs)(`div`,{className:`table-list`,children:[(0,B.jsx)(ee,{caption:`Published tables`,columns:a,rows:o.slice(0,Q),keyOf:j,empty:e.length>0?(0,B.jsx)(u,{title:`No table has such a name`}):(0,B.jsxs)(u,{title:`No table is published`,children:[`Publish one with `,(0,B.jsx)(`code`,{children:`tidewire publish TABLE`}),`, or by what doctor proposes.`]})}),o.length>Q&&(0,B.jsx)(`p`,{className:`soft`,children:`The first ${Q} of ${i(o.length)}. Type a part of a name to see others.`})]})}function ae(e,n){return[{id:`table`,header:`Table`,cell:t=>(0,B.jsx)(oe,{table:t,onOpen:e})},{id:`findings`,header:`Findings`,cell:e=>(0,B.jsx)($,{said:n&&L(n,j(e))})},{id:`security`,header:`Row-level security`,cell:e=>(0,B.jsx)($,{said:N(e)})},{id:`roles`,header:`Followed as`,cell:e=>(0,B.jsx)(se,{table:e})},{id:`changes`,header:`Changes/s`,align:`end`,cell:({changes_per_s:e})=>a(e)},{id:`subscriptions`,header:`Subscriptions`,align:`end`,cell:({subscriptions:e,audiences:t})=>(0,B.jsx)(ce,{of:e,note:`in ${t===1?`1 audience`:`${i(t)} audiences`}`})},{id:`key`,header:`Primary key`,cell:({primary_key:e})=>e.length>0?(0,B.jsx)(`span`,{className:`mono`,children:e.join(`, `)}):(0,B.jsx)(t,{tone:`warn`,children:`none`})},{id:`identity`,header:`Old rows carry`,cell:e=>(0,B.jsx)(le,{said:M(e)})},{id:`publications`,header:`Publications`,cell:({publications:e})=>(0,B.jsx)(`span`,{className:`mono`,children:e.join(`, `)})}]}function oe({table:e,onOpen:t}){return(0,B.jsx)(d,{kind:`link`,onClick:()=>t(e),children:(0,B.jsx)(`span`,{className:`mono`,children:j(e)})})}function se({table:e}){return e.roles.length===0?(0,B.jsx)(`span`,{className:`soft`,children:`–`}):(0,B.jsx)(B.Fragment,{children:e.roles.map(n=>{let{tone:r,word:i}=P(n,e.row_security);return(0,B.jsxs)(`div`,{className:`followed`,children:[n.role,` `,(0,B.jsx)(t,{tone:r,children:i})]},n.role)})})}function ce({of:e,note:t}){return e===0?(0,B.jsx)(`span`,{className:`soft`,children:`–`}):(0,B.jsxs)(B.Fragment,{children:[i(e),` `,(0,B.jsx)(`span`,{className:`soft`,children:t})]})}function $({said:e}){return e?(0,B.jsx)(t,{tone:e.tone,children:e.word}):(0,B.jsx)(`span`,{className:`soft`,children:`–`})}function le({said:e}){return e.tone===`plain`?(0,B.jsx)(B.Fragment,{children:e.word}):(0,B.jsx)($,{said:e})}function ue(){let e=h(`/tables`,te),t=h(`/doctor`),[n,i]=(0,D.useState)(``),[a,o]=(0,D.useState)(null),[s,c]=(0,D.useState)(null),[l,u]=fe(s),f=t.answer?.value.findings??null,p=()=>{e.again(),t.again()};return(0,B.jsxs)(`div`,{className:`page`,children:[(0,B.jsxs)(_,{title:`Tables`,about:`What is published, who may see it, and what keeps changes from arriving.`,children:[(0,B.jsx)(`input`,{type:`search`,"aria-label":`Show only tables with`,placeholder:`Table`,value:n,onChange:e=>i(e.target.value)}),(0,B.jsxs)(d,{onClick:p,"aria-busy":e.isAsking||t.isAsking,children:[(0,B.jsx)(E,{size:15,"aria-hidden":!0}),`Refresh`]})]}),e.answer&&(0,B.jsx)(de,{at:e.answer.at,findings:f}),(0,B.jsx)(m,{asked:e,title:`Reading the tables`,children:({tables:e})=>(0,B.jsx)(ie,{tables:e,wanted:n,findings:f,onOpen:o})}),(0,B.jsx)(`div`,{ref:l,id:`findings`,tabIndex:-1,children:(0,B.jsx)(r,{title:`What doctor finds`,children:(0,B.jsx)(m,{asked:t,title:`Looking at the database`,children:({findings:e})=>(0,B.jsx)(W,{findings:e.filter(({table:e})=>F(e,n)),onFix:c})})})}),a&&(0,B.jsx)(ne,{table:a,onClose:()=>o(null)}),s&&(0,B.jsx)(Y,{finding:s,onTried:()=>{u(),p()},onClose:()=>c(null)})]})}function de({at:e,findings:n}){let r=w(),i=n&&L(n);return(0,B.jsxs)(`p`,{className:`row soft`,children:[(0,B.jsx)(`time`,{title:s(e),children:`Read ${l(r/1e3-e)} ago.`}),i&&(0,B.jsxs)(`span`,{children:[(0,B.jsx)(`a`,{href:`#findings`,children:`What doctor finds`}),` `,(0,B.jsx)(t,{tone:i.tone,children:i.word})]})]})}function fe(e){let t=(0,D.useRef)(null),n=(0,D.useRef)(!1);return(0,D.useEffect)(()=>{e===null&&n.current&&(n.current=!1,t.current?.focus({preventScroll:!0}))},[e]),[t,()=>n.current=!0]}export{ue as default};