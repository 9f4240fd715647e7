-- Purpose: the roles that policies name, the schemas auth and realtime, and the record of applied migrations.
-- Roles and schemas that exist already are left as they are; only what is missing is added.

do $$
declare
  me constant pg_catalog.pg_roles := (select r from pg_catalog.pg_roles r where r.rolname = current_user);
  wanted record;
begin
  for wanted in
    select w.name, w.attributes
    from (values
      ('anon', 'nologin noinherit'),
      ('authenticated', 'nologin noinherit'),
      ('service_role', 'nologin noinherit bypassrls'),
      ('authenticator', 'nologin noinherit'),  -- whoever lets it log in also chooses its password
      ('supabase_realtime_admin', 'nologin noinherit')
    ) as w (name, attributes)
    where not exists (select from pg_catalog.pg_roles r where r.rolname = w.name)
      -- The owner role is a convenience: without the right to create it, the objects stay with whoever migrates.
      and (w.name <> 'supabase_realtime_admin' or me.rolsuper or me.rolcreaterole)
  loop
    begin
      execute pg_catalog.format('create role %I %s', wanted.name, wanted.attributes);
    exception
      -- Roles belong to the whole cluster, our lock to one database: a migration next door may have been first.
      when duplicate_object or unique_violation then null;
    end;
  end loop;
end
$$;

-- Memberships: authenticator may become each reader role; whoever migrates may too, to test what a reader can see,
-- and may act as the owner role. Superusers need none of this.
do $$
declare
  version constant integer := current_setting('server_version_num')::integer;
  may_become constant text := case when version >= 160000 then 'SET' else 'MEMBER' end;
  me constant pg_catalog.pg_roles := (select r from pg_catalog.pg_roles r where r.rolname = current_user);
  wanted record;
begin
  for wanted in
    select granted.rolname as granted, member.rolname as member, w.options
    from (values
      ('anon', 'authenticator', ''),
      ('authenticated', 'authenticator', ''),
      ('service_role', 'authenticator', ''),
      ('anon', current_user::text, ' with inherit false, set true'),
      ('authenticated', current_user::text, ' with inherit false, set true'),
      ('service_role', current_user::text, ' with inherit false, set true'),
      ('supabase_realtime_admin', current_user::text, ' with inherit true, set true')
    ) as w (granted, member, options)
    join pg_catalog.pg_roles granted on granted.rolname = w.granted
    join pg_catalog.pg_roles member on member.rolname = w.member
    where not pg_catalog.pg_has_role(member.oid, granted.oid, may_become)
      and (
        pg_catalog.pg_has_role(me.oid, granted.oid, 'MEMBER WITH ADMIN OPTION')
        or (version < 160000 and me.rolcreaterole and not granted.rolsuper)
      )
  loop
    begin
      execute pg_catalog.format(
        'grant %I to %I%s', wanted.granted, wanted.member, case when version >= 160000 then wanted.options else '' end
      );
    exception
      when unique_violation then null;  -- the same race as above
    end;
  end loop;
end
$$;

do $$
declare
  wanted text;
  readers_without_usage boolean;
  owner_role constant pg_catalog.regrole := pg_catalog.to_regrole('supabase_realtime_admin');
begin
  foreach wanted in array array['auth', 'realtime'] loop
    if pg_catalog.to_regnamespace(wanted) is null then
      execute pg_catalog.format('create schema %I', wanted);
    end if;

    select pg_catalog.bool_or(not pg_catalog.has_schema_privilege(r.oid, wanted, 'USAGE'))
    into readers_without_usage
    from pg_catalog.pg_roles r
    where r.rolname in ('anon', 'authenticated', 'service_role');
    if readers_without_usage then
      execute pg_catalog.format('grant usage on schema %I to anon, authenticated, service_role', wanted);
    end if;
  end loop;

  -- The owner role makes tomorrow's partitions, so it needs room for them. Only the schema's owner can say so.
  if owner_role is not null
    and not pg_catalog.has_schema_privilege(owner_role, 'realtime', 'CREATE')
    and exists (
      select from pg_catalog.pg_namespace n
      where n.nspname = 'realtime' and pg_catalog.pg_has_role(n.nspowner, 'USAGE')
    )
  then
    grant usage, create on schema realtime to supabase_realtime_admin;
  end if;
end
$$;

create table realtime.tidewire_migrations (
  version integer not null check (version > 0),
  half text not null check (half in ('pre', 'post')),
  name text not null,
  checksum text not null,
  applied_at timestamptz not null default pg_catalog.now(),
  primary key (version, half)
);

comment on table realtime.tidewire_migrations is 'Which migrations of Tidewire this database has seen.';

-- Default privileges of the schema may have handed out more than nothing.
revoke all on realtime.tidewire_migrations from public, anon, authenticated, service_role;
