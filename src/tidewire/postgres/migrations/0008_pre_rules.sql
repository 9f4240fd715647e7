-- Purpose: to say in the log, at the position of the commit, that who may see what may have changed.
-- The log itself tells only of changes to a table that has rows of its own; not of the parent of partitions, a schema,
-- a type, or a function that policies call. Without content: whoever follows the log reads the rules again.

create or replace function realtime.rules_changed() returns void
language sql
set search_path = ''
as $$ select pg_catalog.pg_logical_emit_message(true, 'tidewire.rules', '') $$;

comment on function realtime.rules_changed() is
  'Makes Tidewire read all rules again when the transaction commits, after a change that no event trigger sees.';
revoke all on function realtime.rules_changed() from public, anon, authenticated, service_role;

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
      where p.oid = 'realtime.rules_changed()'::pg_catalog.regprocedure and pg_catalog.pg_has_role(p.proowner, 'USAGE')
    )
  then
    alter function realtime.rules_changed() owner to supabase_realtime_admin;
  end if;
end
$$;

-- All of the rest or nothing: an event trigger's function runs with the rights of whoever runs a command, superusers
-- included. So it must belong to the role that may make event triggers, and is not handed over to another one.
do $migration$
begin
  drop event trigger if exists tidewire_rules;
  drop event trigger if exists tidewire_rules_dropped;
  drop function if exists realtime.tidewire_rules();

  create function realtime.tidewire_rules() returns event_trigger
  language plpgsql
  set search_path = ''
  as $$
  declare
    matters boolean := true;
  begin
    begin
      if tg_event = 'sql_drop' then
        matters := tg_tag not in ('ALTER TABLE', 'ALTER TYPE', 'ALTER DOMAIN', 'ALTER EXTENSION', 'DROP OWNED')
          and exists (
            select from pg_event_trigger_dropped_objects() o
            where o.object_type in ('policy', 'function') and not o.is_temporary
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
      perform pg_logical_emit_message(true, 'tidewire.rules', '');
    end if;
  exception
    -- Nobody's command may fail because of this.
    when others then
      raise warning 'Tidewire does not notice this change: %', sqlerrm
        using hint = 'call realtime.rules_changed()';
  end
  $$;

  comment on function realtime.tidewire_rules() is
    'Says in the log that who may see what may have changed. Called by event triggers.';
  revoke all on function realtime.tidewire_rules() from public, anon, authenticated, service_role;

  -- What changes a privilege or a policy, and what gives something that a policy names another name or meaning.
  -- Not ALTER DEFAULT PRIVILEGES, which is about tables to come, nor what no event trigger sees: commands about roles.
  create event trigger tidewire_rules on ddl_command_end
    when tag in (
      'CREATE POLICY', 'ALTER POLICY', 'ALTER TABLE', 'GRANT', 'REVOKE', 'DROP OWNED',
      'CREATE FUNCTION', 'ALTER FUNCTION', 'ALTER ROUTINE', 'ALTER AGGREGATE', 'ALTER OPERATOR', 'ALTER COLLATION',
      'ALTER TYPE', 'ALTER DOMAIN', 'ALTER SCHEMA', 'ALTER EXTENSION',
      'ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER FOREIGN TABLE'
    )
    execute function realtime.tidewire_rules();
  -- Policies may go together with whatever they name, so here no list of commands would do.
  create event trigger tidewire_rules_dropped on sql_drop
    execute function realtime.tidewire_rules();
  -- Also while session_replication_role is replica, as it is when another tool applies changes.
  alter event trigger tidewire_rules enable always;
  alter event trigger tidewire_rules_dropped enable always;
exception
  when insufficient_privilege then
    raise notice 'the event trigger tidewire_rules was not made: %', sqlerrm
      using hint = 'tidewire doctor says what this means and how to make it later';
end
$migration$;
