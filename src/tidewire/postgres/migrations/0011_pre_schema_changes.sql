-- Purpose: to say in the log, at the position of the commit, that tables, views, functions or their types have changed.
-- The data API keeps what it has read of them, and reads it again when it hears of this. Without content.

create or replace function realtime.schema_changed() returns void
language sql
set search_path = ''
as $$ select pg_catalog.pg_logical_emit_message(true, 'tidewire.schema', '') $$;

comment on function realtime.schema_changed() is
  'Makes Tidewire read again what the exposed schemas hold when the transaction commits.';
revoke all on function realtime.schema_changed() from public, anon, authenticated, service_role;

-- To the role that owns the rest, as in 0007.
do $$
declare
  may_become constant text :=
    case when current_setting('server_version_num')::integer >= 160000 then 'SET' else 'MEMBER' end;
  owner_role constant pg_catalog.regrole := pg_catalog.to_regrole('supabase_realtime_admin');
begin
  if owner_role is not null
    and pg_catalog.pg_has_role(owner_role, may_become)
    and pg_catalog.pg_has_role(owner_role, 'USAGE')
    and pg_catalog.has_schema_privilege(owner_role, 'realtime', 'CREATE')
    and exists (
      select from pg_catalog.pg_proc p
      where p.oid = 'realtime.schema_changed()'::pg_catalog.regprocedure and pg_catalog.pg_has_role(p.proowner, 'USAGE')
    )
  then
    alter function realtime.schema_changed() owner to supabase_realtime_admin;
  end if;
end
$$;

-- All of the rest or nothing, and it stays with the role that may make event triggers, for the reasons given in 0008.
do $migration$
begin
  drop event trigger if exists tidewire_schema;
  drop event trigger if exists tidewire_schema_dropped;
  drop function if exists realtime.tidewire_schema();

  create function realtime.tidewire_schema() returns event_trigger
  language plpgsql
  set search_path = ''
  as $$
  declare
    matters boolean := true;
  begin
    begin
      if tg_event = 'sql_drop' then
        matters := exists (
          select from pg_event_trigger_dropped_objects() o
          where not o.is_temporary
            and o.object_type in (
              'table', 'table column', 'table constraint', 'index', 'view', 'view column', 'materialized view',
              'foreign table', 'foreign table column', 'function', 'type', 'schema', 'trigger', 'rule', 'default value'
            )
        );
      else
        matters := not coalesce(
          (select bool_and(c.schema_name is not distinct from 'pg_temp') from pg_event_trigger_ddl_commands() c), false
        );
      end if;
    exception
      when others then null;  -- once too often does no harm
    end;
    if matters then
      perform pg_logical_emit_message(true, 'tidewire.schema', '');
    end if;
  exception
    -- Nobody's command may fail because of this.
    when others then
      raise warning 'Tidewire does not notice this change: %', sqlerrm
        using hint = 'call realtime.schema_changed()';
  end
  $$;

  comment on function realtime.tidewire_schema() is
    'Says in the log that the exposed schemas may hold something else. Called by event triggers.';
  revoke all on function realtime.tidewire_schema() from public, anon, authenticated, service_role;

  -- Indexes because a unique one makes a reference one-to-one; rules and triggers because they make views writable.
  create event trigger tidewire_schema on ddl_command_end
    when tag in (
      'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE', 'CREATE INDEX',
      'CREATE VIEW', 'ALTER VIEW', 'CREATE MATERIALIZED VIEW', 'ALTER MATERIALIZED VIEW',
      'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'IMPORT FOREIGN SCHEMA',
      'CREATE FUNCTION', 'ALTER FUNCTION', 'ALTER ROUTINE', 'CREATE TRIGGER', 'CREATE RULE',
      'ALTER TYPE', 'ALTER DOMAIN', 'CREATE SCHEMA', 'ALTER SCHEMA', 'CREATE EXTENSION', 'ALTER EXTENSION'
    )
    execute function realtime.tidewire_schema();
  create event trigger tidewire_schema_dropped on sql_drop
    execute function realtime.tidewire_schema();
  -- Also while session_replication_role is replica, as it is when another tool applies changes.
  alter event trigger tidewire_schema enable always;
  alter event trigger tidewire_schema_dropped enable always;
exception
  when insufficient_privilege then
    raise notice 'the event trigger tidewire_schema was not made: %', sqlerrm
      using hint = 'call realtime.schema_changed() after changing what the data API serves';
end
$migration$;
