-- Purpose: hand Tidewire's objects in realtime to supabase_realtime_admin, where whoever migrates may act as that role.
-- The functions that run with their owner's rights then run as a role without login and without any other right, even
-- when a superuser migrated; and a second administrator can carry on where the first one stopped.

do $$
declare
  may_become constant text :=
    case when current_setting('server_version_num')::integer >= 160000 then 'SET' else 'MEMBER' end;
  owner_role constant pg_catalog.regrole := pg_catalog.to_regrole('supabase_realtime_admin');
  wanted record;
begin
  if owner_role is null
    or not pg_catalog.pg_has_role(owner_role, may_become)
    or not pg_catalog.pg_has_role(owner_role, 'USAGE')
    or not pg_catalog.has_schema_privilege(owner_role, 'realtime', 'CREATE')
  then
    return;
  end if;

  for wanted in
    select 'table' as kind, c.oid::pg_catalog.regclass::text as name
    from pg_catalog.pg_class c
    where c.relnamespace = 'realtime'::pg_catalog.regnamespace
      and c.relname in ('messages', 'tidewire_migrations', 'tidewire_slots')
      and c.relowner = current_user::pg_catalog.regrole
    union all
    select 'function', p.oid::pg_catalog.regprocedure::text
    from pg_catalog.pg_proc p
    where p.pronamespace = 'realtime'::pg_catalog.regnamespace
      and p.proname in (
        'broadcast_changes', 'send', 'send_binary', 'tidewire_maintain_messages', 'tidewire_open_partition',
        'tidewire_open_today', 'tidewire_send', 'topic'
      )
      and p.proowner = current_user::pg_catalog.regrole
  loop
    execute pg_catalog.format('alter %s %s owner to supabase_realtime_admin', wanted.kind, wanted.name);
  end loop;
end
$$;
