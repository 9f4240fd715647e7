-- Purpose: realtime.messages, one partition a day, and the functions that make and drop the partitions.
-- Every time in it is UTC without a zone, whatever the session's TimeZone: days, and so partitions, mean UTC days.
-- A table that someone else owns is left alone.

do $$
begin
  if pg_catalog.to_regclass('realtime.messages') is null then
    create table realtime.messages (
      topic text not null,
      extension text not null,
      payload jsonb,
      event text,
      private boolean default false,
      updated_at timestamp not null default (pg_catalog.now() at time zone 'utc'),
      -- clock_timestamp, not now: messages of one transaction keep the order in which they were sent.
      inserted_at timestamp not null default (pg_catalog.clock_timestamp() at time zone 'utc'),
      id uuid not null default pg_catalog.gen_random_uuid(),
      binary_payload bytea,
      broadcasted_at timestamp,
      skip_broadcast boolean not null default false,
      expires_at timestamp,
      primary key (id, inserted_at),
      constraint messages_one_payload check (payload is null or binary_payload is null)
    ) partition by range (inserted_at);

    comment on table realtime.messages is 'Messages to channels. Its policies decide who may read and write a topic.';

    create index messages_inserted_at_topic_index
      on realtime.messages (inserted_at desc, topic)
      where extension = 'broadcast' and private is true;

    alter table realtime.messages enable row level security;
    revoke all on realtime.messages from public, anon, authenticated, service_role;
    grant select, insert, update on realtime.messages to anon, authenticated, service_role;

  elsif exists (
    select from pg_catalog.pg_class c
    where c.oid = 'realtime.messages'::pg_catalog.regclass and pg_catalog.pg_has_role(c.relowner, 'USAGE')
  ) then
    alter table realtime.messages
      add column if not exists binary_payload bytea,
      add column if not exists broadcasted_at timestamp,
      add column if not exists skip_broadcast boolean not null default false,
      add column if not exists expires_at timestamp;
  end if;
end
$$;

create function realtime.tidewire_open_partition(day date) returns boolean
language plpgsql
set search_path = ''
as $$
declare
  partition constant text := 'messages_' || to_char(day, 'YYYY_MM_DD');
begin
  if to_regclass('realtime.' || partition) is not null then
    return false;
  end if;
  -- One at a time, until the transaction ends: whoever waited finds the partition made and committed.
  perform pg_advisory_xact_lock(hashtext('tidewire.messages'), hashtext(partition));
  -- Make, then attach: ATTACH lets others go on writing, where CREATE TABLE ... PARTITION OF would lock them out
  -- and deadlock two senders who both need the new day.
  execute format('create table realtime.%I (like realtime.messages including all)', partition);
  execute format('alter table realtime.%I enable row level security', partition);
  execute format(
    'alter table realtime.messages attach partition realtime.%I for values from (%L) to (%L)',
    partition, to_char(day, 'YYYY-MM-DD'), to_char(day + 1, 'YYYY-MM-DD')
  );
  return true;
exception
  -- After the wait, only trying tells: neither to_regclass (cached) nor a query (older snapshot) would be sure to see it.
  when duplicate_table then
    return false;
end
$$;

comment on function realtime.tidewire_open_partition(date) is
  'Makes the partition of one UTC day; true when it was missing. Internal.';
revoke all on function realtime.tidewire_open_partition(date) from public, anon, authenticated, service_role;

-- Anyone who may send may call this, so it takes no argument: the days are not the caller's to choose.
create function realtime.tidewire_open_today() returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  today constant date := (clock_timestamp() at time zone 'utc')::date;
begin
  perform realtime.tidewire_open_partition(today);
  -- Midnight may pass between this call and the insert that follows it.
  perform realtime.tidewire_open_partition(today + 1);
end
$$;

comment on function realtime.tidewire_open_today() is
  'Makes the partitions of today and tomorrow when nobody has. Called by the send functions.';

create function realtime.tidewire_maintain_messages(
  at timestamp default (pg_catalog.clock_timestamp() at time zone 'utc'),
  out created integer,
  out dropped integer
)
language plpgsql
security definer
set search_path = ''
set lock_timeout = '500ms'  -- a DROP that waits makes every sender queue behind it
as $$
declare
  today constant date := at::date;
  old_partition text;
begin
  created := 0;
  dropped := 0;
  if not exists (
    select from pg_class c
    where c.oid = to_regclass('realtime.messages') and c.relkind = 'p' and pg_has_role(c.relowner, 'USAGE')
  ) then
    return;  -- someone else's table: its owner looks after it
  end if;

  for offset_days in -1 .. 3 loop
    begin
      if realtime.tidewire_open_partition(today + offset_days) then
        created := created + 1;
      end if;
    exception
      when lock_not_available then
        raise notice 'realtime.messages is in use; the partition of % will be made next time', today + offset_days;
    end;
  end loop;

  for old_partition in
    select c.relname
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'realtime.messages'::regclass
      and c.relname ~ '^messages_\d{4}_\d{2}_\d{2}$'
      -- The day has ended 72 hours ago when the day four before today, or an earlier one, bears its name.
      and to_date(pg_catalog.right(c.relname, 10), 'YYYY_MM_DD') <= today - 4
  loop
    begin
      execute format('drop table realtime.%I', old_partition);
      dropped := dropped + 1;
    exception
      when lock_not_available then
        raise notice 'realtime.% is in use and will be dropped next time', old_partition;
    end;
  end loop;
end
$$;

comment on function realtime.tidewire_maintain_messages(timestamp) is
  'Makes the partitions from yesterday to three days ahead and drops those older than 72 hours. Run it every few hours.';
revoke all on function realtime.tidewire_maintain_messages(timestamp) from public, anon, authenticated, service_role;
