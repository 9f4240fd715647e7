-- Purpose: what the connected role lacks to apply the migrations, each with the statement that an administrator runs.
-- `required` false: the migrations can do without, but something later may not. Ordered so that the statements work
-- when run from top to bottom.
with
me as (
  select r.oid, r.rolname, r.rolsuper, r.rolcreaterole, r.rolbypassrls, v.version,
    case when v.version >= 160000 then 'SET' else 'MEMBER' end as may_become
  from pg_catalog.pg_roles r
  cross join (select current_setting('server_version_num')::integer as version) v
  where r.rolname = current_user
),
-- A role with BYPASSRLS takes a superuser up to version 15, and from 16 on someone who has the attribute.
roles as (
  select w.place, w.name, w.attributes, r.oid, r.rolbypassrls, r.rolsuper,
    r.oid is not null or me.rolsuper
      or (me.rolcreaterole and (w.name <> 'service_role' or (me.version >= 160000 and me.rolbypassrls))) as obtainable
  from (values
    (1, 'anon', 'nologin noinherit'),
    (2, 'authenticated', 'nologin noinherit'),
    (3, 'service_role', 'nologin noinherit bypassrls'),
    (4, 'authenticator', 'nologin noinherit')
  ) as w (place, name, attributes)
  cross join me
  left join pg_catalog.pg_roles r on r.rolname = w.name
),
-- Up to version 15 CREATEROLE may grant any role; from 16 on it takes the ADMIN option, which a creator receives.
readers as (
  select roles.*,
    case
      when roles.oid is null then
        me.rolsuper or (me.rolcreaterole and (me.version < 160000 or roles.obtainable))
      else
        pg_catalog.pg_has_role(me.oid, roles.oid, 'MEMBER WITH ADMIN OPTION')
        or (me.version < 160000 and me.rolcreaterole and not roles.rolsuper)
    end as grantable,
    coalesce(pg_catalog.pg_has_role(a.oid, roles.oid, 'MEMBER'), false) as granted_to_authenticator,
    coalesce(pg_catalog.pg_has_role(me.oid, roles.oid, me.may_become), false) as granted_to_me
  from roles
  cross join me
  left join roles a on a.name = 'authenticator'
  where roles.name <> 'authenticator'
),
schemas as (
  select w.name, n.oid, n.nspowner
  from (values ('auth'), ('realtime')) as w (name)
  left join pg_catalog.pg_namespace n on n.nspname = w.name
),
publications as (
  select w.name, p.oid, p.puballtables, p.pubviaroot,
    coalesce(pg_catalog.pg_has_role(me.oid, p.pubowner, 'USAGE'), true) as mine,
    -- The column exists from version 18 on.
    coalesce(pg_catalog.to_jsonb(p) ->> 'pubgencols' = 'n', false) as omits_generated_columns
  from (values ('supabase_realtime'), ('supabase_realtime_messages_publication')) as w (name)
  cross join me
  left join pg_catalog.pg_publication p on p.pubname = w.name
),
-- Looked up in the catalog: to_regclass would fail in a schema that we may not use.
messages as (
  select c.oid, pg_catalog.pg_has_role(me.oid, c.relowner, 'USAGE') as mine
  from pg_catalog.pg_class c
  join schemas on schemas.oid = c.relnamespace and schemas.name = 'realtime'
  cross join me
  where c.relname = 'messages'
),
publications_without_messages as (
  select publications.*, messages.oid as messages_oid, messages.mine as messages_mine
  from publications
  left join messages on true
  where publications.name = 'supabase_realtime_messages_publication'
    and not coalesce(publications.puballtables, false)
    and not exists (
      select from pg_catalog.pg_publication_rel r
      where r.prpubid = publications.oid and r.prrelid = messages.oid
    )
),
gaps as (
  select 100 + place as place, true as required,
    pg_catalog.format('role %s does not exist and %s may not create it', roles.name, me.rolname) as what,
    pg_catalog.format('create role %I %s;', roles.name, roles.attributes) as sql
  from roles cross join me
  where not obtainable

  union all
  select 200 + place, true,
    pg_catalog.format('%s may not grant %s to authenticator', me.rolname, readers.name),
    pg_catalog.format('grant %I to %I with admin option;', readers.name, me.rolname)
  from readers cross join me
  where not grantable and not granted_to_authenticator

  union all
  select 200 + place, false,
    pg_catalog.format('%s cannot become %s to test what such a reader may see', me.rolname, readers.name),
    pg_catalog.format('grant %I to %I;', readers.name, me.rolname)
  from readers cross join me
  where not grantable and granted_to_authenticator and not granted_to_me

  union all
  select 300, false,
    'service_role is subject to row-level security, so it sees only what policies admit',
    'alter role service_role bypassrls;'
  from roles
  where name = 'service_role' and oid is not null and not rolbypassrls and not rolsuper

  union all
  select 400, true,
    pg_catalog.format('%s may not create schemas and publications in database %s', me.rolname, current_database()),
    pg_catalog.format('grant create on database %I to %I;', current_database(), me.rolname)
  from me
  where not pg_catalog.has_database_privilege(me.oid, current_database(), 'CREATE')
    and (exists (select from schemas where oid is null) or exists (select from publications where oid is null))

  union all
  select 500, true,
    pg_catalog.format('%s may not create objects in schema %s', me.rolname, schemas.name),
    pg_catalog.format('grant usage, create on schema %I to %I;', schemas.name, me.rolname)
  from schemas cross join me
  where schemas.oid is not null
    and not (
      pg_catalog.has_schema_privilege(me.oid, schemas.oid, 'USAGE')
      and pg_catalog.has_schema_privilege(me.oid, schemas.oid, 'CREATE')
    )
    and (
      schemas.name = 'realtime'
      or (
        select pg_catalog.count(*) < 4
        from pg_catalog.pg_proc p
        where p.pronamespace = schemas.oid and p.pronargs = 0 and p.proname in ('jwt', 'uid', 'role', 'email')
      )
    )

  union all
  select 600, true,
    pg_catalog.format('%s may not open schema %s to the reader roles', me.rolname, schemas.name),
    pg_catalog.format('grant usage on schema %I to anon, authenticated, service_role;', schemas.name)
  from schemas cross join me
  where schemas.oid is not null
    and not pg_catalog.pg_has_role(me.oid, schemas.nspowner, 'USAGE')
    and not pg_catalog.has_schema_privilege(me.oid, schemas.oid, 'USAGE WITH GRANT OPTION')
    and exists (
      select from readers
      where readers.oid is null or not pg_catalog.has_schema_privilege(readers.oid, schemas.oid, 'USAGE')
    )

  union all
  select 700, true,
    'realtime.messages or its publication belongs to another role and the one does not hold the other',
    case when p.oid is null
      then pg_catalog.format(
        'create publication %I for table realtime.messages with (publish_via_partition_root = true);', p.name
      )
      else pg_catalog.format('alter publication %I add table realtime.messages;', p.name)
    end
  from publications_without_messages p
  where p.messages_oid is not null and not (p.mine and p.messages_mine)

  union all
  select 800, false,
    pg_catalog.format(
      'publication %s belongs to another role and publishes partitions under their own names', publications.name
    ),
    pg_catalog.format('alter publication %I set (publish_via_partition_root = true);', publications.name)
  from publications
  where publications.oid is not null and not publications.mine and not publications.pubviaroot

  union all
  select 900, false,
    pg_catalog.format('publication %s belongs to another role and leaves out generated columns', publications.name),
    pg_catalog.format('alter publication %I set (publish_generated_columns = stored);', publications.name)
  from publications
  where not publications.mine and publications.omits_generated_columns
)
select what, sql, required
from gaps
order by place, sql
