import{n as e}from"./rolldown-runtime-WkwZ5CU-.js";import{_ as t,a as n,b as r,c as i,f as a,h as o,l as s,n as c,o as l,t as u,v as d,x as f,y as p}from"./src-B7tSiTyU.js";import{t as m}from"./asked_gate-CMdssAGk.js";import{n as h,t as g}from"./dialog-DWvs4BZj.js";import{t as _}from"./page_head-DZ3jBxmO.js";import{a as v,c as y,i as b,l as x,n as S,o as C,r as w,s as T,t as E}from"./table_words-CSXBDBLV.js";import{t as D}from"./use_asked-CjHFY7EO.js";import{n as O,t as k}from"./prose-nMpjl4DK.js";import{n as A}from"./dist-Bc5YMaNb.js";import{i as j,o as ee,r as te,u as M}from"./index-ogjURuwB.js";var N={name:`refresh-cw`,size:24,node:[[`path`,{d:`M3 12a9 9 0 0 1 9-9 9.75 9.75 0 0 1 6.74 2.74L21 8`,key:`v9h5vc`}],[`path`,{d:`M21 3v5h-5`,key:`1q7to0`}],[`path`,{d:`M21 12a9 9 0 0 1-9 9 9.75 9.75 0 0 1-6.74-2.74L3 16`,key:`3uifl3`}],[`path`,{d:`M8 16H3v5`,key:`1cv678`}]]};N.node;var P=n(N),F=e(o(),1),I=`# tidewire doctor

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
`,L=f();function R({title:e,text:t}){return(0,L.jsxs)(`figure`,{className:`sql`,"aria-label":e,children:[(0,L.jsxs)(`figcaption`,{className:`row`,children:[(0,L.jsx)(`span`,{className:`soft`,children:e}),isSecureContext&&(0,L.jsx)(d,{kind:`link`,onClick:()=>{navigator.clipboard.writeText(t).then(()=>A.success(`Copied`),()=>A.error(`The browser does not allow that. Mark the text and copy it.`))},children:`Copy`})]}),(0,L.jsx)(`pre`,{children:(0,L.jsx)(`code`,{children:t})})]})}var z=O(I),B=10;function V({findings:e,onFix:t}){let n=S(e),r=e.filter(({severity:e})=>e===`ok`);return(0,L.jsxs)(L.Fragment,{children:[n.length===0?(0,L.jsx)(u,{title:`Nothing keeps changes from arriving`}):n.map(e=>(0,L.jsx)(H,{group:e,onFix:t},`${e.severity} ${e.code}`)),(0,L.jsx)(W,{findings:r,onFix:t})]})}function H({group:{code:e,severity:n,findings:r},onFix:i}){let[a,o]=(0,F.useState)(!1),s=a?r:r.slice(0,B),c=r.length-s.length;return(0,L.jsxs)(`article`,{className:`finding`,"aria-label":e,children:[(0,L.jsxs)(`div`,{className:`row`,children:[(0,L.jsx)(`h3`,{children:e}),(0,L.jsx)(t,{tone:E[n],children:n})]}),(0,L.jsx)(k,{paragraphs:z.get(e)??[]}),(0,L.jsx)(`ul`,{children:s.map(e=>(0,L.jsx)(U,{finding:e,onFix:i},G(e)))}),c>0&&(0,L.jsx)(d,{kind:`quiet`,onClick:()=>o(!0),children:`Show ${c} more`})]})}function U({finding:e,onFix:t}){let{code:n,table:r,message:i,fix:a,runnable:o}=e;return(0,L.jsxs)(`li`,{children:[(0,L.jsxs)(`p`,{children:[r!==null&&(0,L.jsxs)(L.Fragment,{children:[(0,L.jsx)(`strong`,{className:`mono`,children:r}),` `]}),i]}),o&&(0,L.jsx)(d,{"aria-label":`Fix ${n}${r===null?``:` of ${r}`}`,onClick:()=>t(e),children:`Fix`}),!o&&a!==``&&(0,L.jsx)(R,{title:`For you to run, after reading it`,text:a})]})}function W({findings:e,onFix:t}){return e.length===0?null:(0,L.jsxs)(`details`,{className:`finding`,children:[(0,L.jsx)(`summary`,{children:e.length===1?`1 check is fine`:`${e.length} checks are fine`}),(0,L.jsx)(`ul`,{children:e.map(e=>(0,L.jsx)(U,{finding:e,onFix:t},G(e)))})]})}var G=({id:e,message:t,table:n})=>[e,n,t].join(` `);function K({finding:e,onTried:t,onClose:n}){let{stage:r,run:i}=J(e.id,t),{code:a,table:o,message:s,fix:l}=e;return(0,L.jsx)(g,{title:`Fix ${a}`,onClose:n,children:r.kind===`done`?(0,L.jsx)(q,{ran:r.ran,onClose:n}):(0,L.jsxs)(L.Fragment,{children:[(0,L.jsxs)(`p`,{children:[o!==null&&(0,L.jsxs)(`strong`,{className:`mono`,children:[o,` `]}),s]}),(0,L.jsx)(R,{title:`This would be run`,text:l}),r.kind===`failed`?(0,L.jsxs)(c,{title:r.error.message,children:[r.error.hint,l.includes(`
`)&&` Statements before the one that failed have run.`]}):(0,L.jsx)(`p`,{className:`soft`,children:`It runs as the role that the server connects with, and waits for locks for three seconds at most.`}),(0,L.jsxs)(`div`,{className:`row`,children:[(0,L.jsx)(d,{kind:`primary`,onClick:i,"aria-busy":r.kind===`running`,children:r.kind===`failed`?`Run it again`:`Run it`}),(0,L.jsx)(d,{onClick:n,children:`Cancel`})]})]})})}function q({ran:e,onClose:t}){return(0,L.jsxs)(L.Fragment,{children:[(0,L.jsxs)(`p`,{role:`status`,children:[(0,L.jsx)(`strong`,{children:`Done.`}),` Doctor looks again.`]}),(0,L.jsx)(R,{title:`This was run`,text:e.join(`
`)}),(0,L.jsx)(`div`,{className:`row`,children:(0,L.jsx)(d,{kind:`primary`,autoFocus:!0,onClick:t,children:`Good`})})]})}function J(e,t){let[n,r]=(0,F.useState)({kind:`asking`});return{stage:n,run:()=>{n.kind!==`running`&&(r({kind:`running`}),ee(`/doctor/${e}/fix`,{},te.token).then(({ran:e})=>r({kind:`done`,ran:e}),e=>r({kind:`failed`,error:e instanceof j?e:new j(0,null)})).finally(t))}}}function Y({table:e,onClose:t}){let n=`/tables/${encodeURIComponent(e.schema)}/${encodeURIComponent(e.name)}`,r=D(n);return(0,L.jsxs)(g,{title:v(e),onClose:t,children:[(0,L.jsx)(p,{entries:[[`Publications`,e.publications.join(`, `)||`through its partitioned table`],[`Primary key`,e.primary_key.join(`, `)||`none`],[`Old rows carry`,w(e).word],[`Row-level security`,T(e).word],[`Partitioned`,e.partitioned?`yes`:`no`],[`Followed by`,`${e.subscriptions} subscriptions in ${e.audiences} audiences`],[`Changes`,`${a(e.changes_per_s)} per s`]]}),(0,L.jsxs)(`section`,{className:`words`,"aria-label":`Roles`,children:[(0,L.jsx)(`h3`,{children:`What each role sees`}),(0,L.jsx)(m,{asked:r,title:`Asking for the roles`,children:({roles:t})=>(0,L.jsx)(X,{roles:t,isGuarded:e.row_security})})]})]})}function X({roles:e,isGuarded:n}){return(0,L.jsx)(`ul`,{className:`roles`,children:e.map(e=>{let{tone:r,word:i,sees:a,why:o}=C(e,n);return(0,L.jsxs)(`li`,{children:[(0,L.jsxs)(`div`,{className:`row`,children:[(0,L.jsx)(`span`,{className:`mono`,children:e.role}),(0,L.jsx)(t,{tone:r,children:i})]}),(0,L.jsx)(`p`,{children:a}),o!==``&&(0,L.jsxs)(`p`,{children:[(0,L.jsx)(`strong`,{children:`Why not compiled: `}),o]})]},e.role)})})}var Z=200;function ne({tables:e,wanted:t,findings:n,onOpen:r}){let a=(0,F.useMemo)(()=>re(r,n),[r,n]),o=e.filter(e=>b(v(e),t));return(0,L.jsxs)(`div`,{className:`table-list`,children:[(0,L.jsx)(h,{caption:`Published tables`,columns:a,rows:o.slice(0,Z),keyOf:v,empty:e.length>0?(0,L.jsx)(u,{title:`No table has such a name`}):(0,L.jsxs)(u,{title:`No table is published`,children:[`Publish one with `,(0,L.jsx)(`code`,{children:`tidewire publish TABLE`}),`, or by what doctor proposes.`]})}),o.length>Z&&(0,L.jsx)(`p`,{className:`soft`,children:`The first ${Z} of ${i(o.length)}. Type a part of a name to see others.`})]})}function re(e,n){return[{id:`table`,header:`Table`,cell:t=>(0,L.jsx)(ie,{table:t,onOpen:e})},{id:`findings`,header:`Findings`,cell:e=>(0,L.jsx)(Q,{said:n&&x(n,v(e))})},{id:`security`,header:`Row-level security`,cell:e=>(0,L.jsx)(Q,{said:T(e)})},{id:`roles`,header:`Followed as`,cell:e=>(0,L.jsx)(ae,{table:e})},{id:`changes`,header:`Changes/s`,align:`end`,cell:({changes_per_s:e})=>a(e)},{id:`subscriptions`,header:`Subscriptions`,align:`end`,cell:({subscriptions:e,audiences:t})=>(0,L.jsx)(oe,{of:e,note:`in ${t===1?`1 audience`:`${i(t)} audiences`}`})},{id:`key`,header:`Primary key`,cell:({primary_key:e})=>e.length>0?(0,L.jsx)(`span`,{className:`mono`,children:e.join(`, `)}):(0,L.jsx)(t,{tone:`warn`,children:`none`})},{id:`identity`,header:`Old rows carry`,cell:e=>(0,L.jsx)($,{said:w(e)})},{id:`publications`,header:`Publications`,cell:({publications:e})=>(0,L.jsx)(`span`,{className:`mono`,children:e.join(`, `)})}]}function ie({table:e,onOpen:t}){return(0,L.jsx)(d,{kind:`link`,onClick:()=>t(e),children:(0,L.jsx)(`span`,{className:`mono`,children:v(e)})})}function ae({table:e}){return e.roles.length===0?(0,L.jsx)(`span`,{className:`soft`,children:`–`}):(0,L.jsx)(L.Fragment,{children:e.roles.map(n=>{let{tone:r,word:i}=C(n,e.row_security);return(0,L.jsxs)(`div`,{className:`followed`,children:[n.role,` `,(0,L.jsx)(t,{tone:r,children:i})]},n.role)})})}function oe({of:e,note:t}){return e===0?(0,L.jsx)(`span`,{className:`soft`,children:`–`}):(0,L.jsxs)(L.Fragment,{children:[i(e),` `,(0,L.jsx)(`span`,{className:`soft`,children:t})]})}function Q({said:e}){return e?(0,L.jsx)(t,{tone:e.tone,children:e.word}):(0,L.jsx)(`span`,{className:`soft`,children:`–`})}function $({said:e}){return e.tone===`plain`?(0,L.jsx)(L.Fragment,{children:e.word}):(0,L.jsx)(Q,{said:e})}function se(){let e=D(`/tables`,y),t=D(`/doctor`),[n,i]=(0,F.useState)(``),[a,o]=(0,F.useState)(null),[s,c]=(0,F.useState)(null),[l,u]=le(s),f=t.answer?.value.findings??null,p=()=>{e.again(),t.again()};return(0,L.jsxs)(`div`,{className:`page`,children:[(0,L.jsxs)(_,{title:`Tables`,about:`What is published, who may see it, and what keeps changes from arriving.`,children:[(0,L.jsx)(`input`,{type:`search`,"aria-label":`Show only tables with`,placeholder:`Table`,value:n,onChange:e=>i(e.target.value)}),(0,L.jsxs)(d,{onClick:p,"aria-busy":e.isAsking||t.isAsking,children:[(0,L.jsx)(P,{size:15,"aria-hidden":!0}),`Refresh`]})]}),e.answer&&(0,L.jsx)(ce,{at:e.answer.at,findings:f}),(0,L.jsx)(m,{asked:e,title:`Reading the tables`,children:({tables:e})=>(0,L.jsx)(ne,{tables:e,wanted:n,findings:f,onOpen:o})}),(0,L.jsx)(`div`,{ref:l,id:`findings`,tabIndex:-1,children:(0,L.jsx)(r,{title:`What doctor finds`,children:(0,L.jsx)(m,{asked:t,title:`Looking at the database`,children:({findings:e})=>(0,L.jsx)(V,{findings:e.filter(({table:e})=>b(e,n)),onFix:c})})})}),a&&(0,L.jsx)(Y,{table:a,onClose:()=>o(null)}),s&&(0,L.jsx)(K,{finding:s,onTried:()=>{u(),p()},onClose:()=>c(null)})]})}function ce({at:e,findings:n}){let r=M(),i=n&&x(n);return(0,L.jsxs)(`p`,{className:`row soft`,children:[(0,L.jsx)(`time`,{title:s(e),children:`Read ${l(r/1e3-e)} ago.`}),i&&(0,L.jsxs)(`span`,{children:[(0,L.jsx)(`a`,{href:`#findings`,children:`What doctor finds`}),` `,(0,L.jsx)(t,{tone:i.tone,children:i.word})]})]})}function le(e){let t=(0,F.useRef)(null),n=(0,F.useRef)(!1);return(0,F.useEffect)(()=>{e===null&&n.current&&(n.current=!1,t.current?.focus({preventScroll:!0}))},[e]),[t,()=>n.current=!0]}export{se as default};