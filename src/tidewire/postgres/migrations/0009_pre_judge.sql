-- Purpose: realtime.tidewire_judge(), which asks one question for many readers, each as if nobody else had asked.
-- The service puts its questions about policies through it. It runs with the caller's rights and lets nobody do what
-- they could not do without it; nevertheless readers may not call it, because it runs any SQL that it is given.

create or replace function realtime.tidewire_judge(
  reader text, question text, settings text[], sessions text[], arguments text[], pause_ms integer,
  out answer text, out failure text
) returns setof record
language plpgsql
set jit = off  -- to compile a plan takes longer than to ask all the readers
set max_parallel_workers_per_gather = 0  -- and so does starting a worker, for each of them
as $$
declare
  pause_at constant timestamptz :=
    pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => pause_ms::float8 / 1000);
  prepare constant text := case when arguments is null then 'prepare tidewire_judge as %s'
    else 'prepare tidewire_judge (text) as %s' end;
  session text[];
  place integer := 0;
  ignored text;
begin
  -- A prepared statement outlives its transaction, so one may have been left behind by whatever ended a call.
  if exists (select from pg_catalog.pg_prepared_statements s where s.name = 'tidewire_judge') then
    deallocate tidewire_judge;
  end if;

  -- Still with the caller's rights: a policy may name what is in a schema that the reader has no way into.
  begin
    execute pg_catalog.format(prepare, question);
  exception
    when others then
      failure := sqlstate;
      return query select null::text, failure from pg_catalog.generate_series(1, pg_catalog.array_length(sessions, 1));
      return;
  end;

  -- `none` would be the caller again.
  if not exists (select from pg_catalog.pg_roles r where r.rolname = reader) then
    raise undefined_object using message = pg_catalog.format('role "%s" does not exist', reader);
  end if;
  begin
    perform pg_catalog.set_config('role', reader, true);
  exception
    when insufficient_privilege then
      raise invalid_role_specification using message = sqlerrm;
  end;

  foreach session slice 1 in array sessions loop
    place := place + 1;
    answer := null;
    failure := null;
    begin
      for number in 1 .. pg_catalog.array_length(settings, 1) loop
        ignored := pg_catalog.set_config(settings[number], session[number], true);
      end loop;
      if arguments is null then
        execute 'execute tidewire_judge' into answer;
      else
        execute pg_catalog.format('execute tidewire_judge (%L)', arguments[place]) into answer;
      end if;
      -- Undoes what was set, and what functions of a policy may have set: it is not for the next reader.
      raise exception using errcode = 'TW000';
    exception
      when sqlstate 'TW000' then
        null;
      when query_canceled or others then
        answer := null;
        failure := sqlstate;
    end;
    return next;
    -- The limit of a statement strikes once. Whoever calls goes on with the sessions that are left.
    exit when failure = '57014' or pg_catalog.clock_timestamp() > pause_at;
  end loop;

  deallocate tidewire_judge;
exception
  when query_canceled or others then
    if exists (select from pg_catalog.pg_prepared_statements s where s.name = 'tidewire_judge') then
      deallocate tidewire_judge;
    end if;
    raise;
end
$$;

comment on function realtime.tidewire_judge(text, text, text[], text[], text[], integer) is
  'Asks a question as a role, once under the settings of each session. Internal: the server judges rows with it.';
revoke all on function realtime.tidewire_judge(text, text, text[], text[], text[], integer)
  from public, anon, authenticated, service_role;

-- To the role that owns the rest, as in 0007.
do $$
declare
  may_become constant text :=
    case when current_setting('server_version_num')::integer >= 160000 then 'SET' else 'MEMBER' end;
  owner_role constant pg_catalog.regrole := pg_catalog.to_regrole('supabase_realtime_admin');
  judge constant pg_catalog.regprocedure := 'realtime.tidewire_judge(text, text, text[], text[], text[], integer)';
begin
  if owner_role is not null
    and pg_catalog.pg_has_role(owner_role, may_become)
    and pg_catalog.pg_has_role(owner_role, 'USAGE')
    and pg_catalog.has_schema_privilege(owner_role, 'realtime', 'CREATE')
    and exists (select from pg_catalog.pg_proc p where p.oid = judge and pg_catalog.pg_has_role(p.proowner, 'USAGE'))
  then
    execute pg_catalog.format('alter function %s owner to supabase_realtime_admin', judge);
  end if;
end
$$;
