-- Purpose: realtime.topic(), realtime.send(), realtime.send_binary() and realtime.broadcast_changes().
-- They run with the caller's rights, so the policies of realtime.messages decide who may send what.
-- They set no search_path: a policy's own functions must meet the one that the caller has. Names here are qualified.
-- Functions that exist already are left alone.

create function realtime.tidewire_send(
  id uuid, payload jsonb, binary_payload bytea, event text, topic text, private boolean
) returns void
language plpgsql
as $$
#variable_conflict use_variable
begin
  for attempt in 1 .. 2 loop
    begin
      if attempt = 2 then
        perform realtime.tidewire_open_today();
      end if;
      perform pg_catalog.set_config('realtime.topic', topic, true);
      insert into realtime.messages (id, payload, binary_payload, event, topic, private, extension)
      values (id, payload, binary_payload, event, topic, private, 'broadcast');
      return;
    exception
      -- A missing partition and a broken CHECK share one code. Trying again after opening the day tells them apart.
      when check_violation then
        if attempt = 2 then
          raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
        end if;
      -- A message that cannot be sent must not undo the work that it was to announce.
      when others then
        raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
        return;
    end;
  end loop;
end
$$;

comment on function realtime.tidewire_send(uuid, jsonb, bytea, text, text, boolean) is
  'Stores one broadcast; a failure is a warning. Internal: call realtime.send or realtime.send_binary.';

do $migration$
begin
  if pg_catalog.to_regprocedure('realtime.topic()') is null then
    create function realtime.topic() returns text
      language sql stable parallel safe
      return nullif(current_setting('realtime.topic', true), '');
    comment on function realtime.topic() is 'The topic that is being read or written, for policies on realtime.messages.';
  end if;

  if pg_catalog.to_regprocedure('realtime.send(jsonb, text, text, boolean)') is null then
    create function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void
    language plpgsql
    as $$
    declare
      message_id constant uuid := pg_catalog.gen_random_uuid();
    begin
      if pg_catalog.jsonb_typeof(payload) = 'object' and not payload operator(pg_catalog.?) 'id' then
        payload := pg_catalog.jsonb_set(payload, '{id}', pg_catalog.to_jsonb(message_id));
      end if;
      perform realtime.tidewire_send(message_id, payload, null, event, topic, private);
    end
    $$;
    comment on function realtime.send(jsonb, text, text, boolean) is
      'Broadcasts a JSON payload to a topic when the transaction commits. A failure is a warning, never an error.';
  end if;

  if pg_catalog.to_regprocedure('realtime.send_binary(bytea, text, text, boolean)') is null then
    create function realtime.send_binary(payload bytea, event text, topic text, private boolean default true)
    returns void
    language plpgsql
    as $$
    begin
      perform realtime.tidewire_send(pg_catalog.gen_random_uuid(), null, payload, event, topic, private);
    end
    $$;
    comment on function realtime.send_binary(bytea, text, text, boolean) is
      'Broadcasts bytes to a topic when the transaction commits. A failure is a warning, never an error.';
  end if;

  if pg_catalog.to_regprocedure('realtime.broadcast_changes(text, text, text, text, text, record, record, text)') is null
  then
    create function realtime.broadcast_changes(
      topic_name text, event_name text, operation text, table_name text, table_schema text,
      new record, old record, level text default 'ROW'
    ) returns void
    language plpgsql
    as $$
    begin
      if level = 'STATEMENT' then
        raise exception 'broadcasting changes: expected a trigger FOR EACH ROW, got one for each statement';
      end if;
      if operation is null or operation not in ('INSERT', 'UPDATE', 'DELETE') then
        raise exception 'broadcasting changes: expected INSERT, UPDATE or DELETE, got %', operation;
      end if;
      perform realtime.send(
        pg_catalog.jsonb_build_object(
          'old_record', old, 'record', new, 'operation', operation, 'table', table_name, 'schema', table_schema
        ),
        event_name,
        topic_name
      );
    exception
      when others then
        raise exception 'Failed to process the row: %', sqlerrm;
    end
    $$;
    comment on function realtime.broadcast_changes(text, text, text, text, text, record, record, text) is
      'Broadcasts a changed row to a private topic. Call it from a trigger FOR EACH ROW.';
  end if;
end
$migration$;
