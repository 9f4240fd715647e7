-- Keeps private broadcasts that were sent already, in their order; the number of the transaction.
insert into realtime.messages (
  id, topic, extension, event, payload, binary_payload, private, broadcasted_at, skip_broadcast, expires_at
)
select
  new.id,
  new.topic,
  'broadcast',
  new.event,
  new.body::jsonb,
  new.bytes,
  true,
  pg_catalog.clock_timestamp() at time zone 'utc',
  true,
  (pg_catalog.clock_timestamp() at time zone 'utc') + pg_catalog.make_interval(secs => new.ttl_s)
from rows from (
  pg_catalog.unnest(%(ids)s::uuid[]),
  pg_catalog.unnest(%(topics)s::text[]),
  pg_catalog.unnest(%(events)s::text[]),
  pg_catalog.unnest(%(texts)s::text[]),
  pg_catalog.unnest(%(bytes)s::bytea[]),
  pg_catalog.unnest(%(ttls_s)s::int8[])
) with ordinality as new (id, topic, event, body, bytes, ttl_s, place)
order by new.place
returning pg_catalog.pg_current_xact_id()::text
