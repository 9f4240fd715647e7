-- The newest kept broadcasts of a private topic that fit, oldest first; what this query could see, and a position that
-- nothing it could see lies behind. One row without a broadcast when there is none.
with newest as materialized (
  select
    m.id,
    m.inserted_at,
    m.event,
    coalesce(m.payload::text, 'null') as body,
    m.binary_payload,
    pg_catalog.octet_length(coalesce(m.payload::text, '')) + coalesce(pg_catalog.octet_length(m.binary_payload), 0) as size
  from realtime.messages as m
  where
    m.topic = %(topic)s::text
    and m.extension = 'broadcast'
    and m.private is true
    and m.event is not null
    and m.inserted_at >= (pg_catalog.to_timestamp(%(since_ms)s::float8 / 1000) at time zone 'utc')
    and m.inserted_at < (pg_catalog.clock_timestamp() at time zone 'utc') + interval '1 minute'
    and (m.expires_at is null or m.expires_at > (pg_catalog.clock_timestamp() at time zone 'utc'))
  order by m.inserted_at desc
  limit %(limit)s::int8
),

fitting as (
  select
    n.*,
    pg_catalog.sum(n.size) over (order by n.inserted_at desc, n.id rows unbounded preceding) as total,
    pg_catalog.row_number() over (order by n.inserted_at desc, n.id) as place
  from newest as n
)

select
  pg_catalog.pg_current_snapshot()::text as snapshot,
  pg_catalog.pg_current_wal_insert_lsn()::text as lsn,
  f.id::text,
  f.event,
  f.body,
  f.binary_payload
from (values (1)) as always (one)
left join fitting as f
  on f.size <= %(most_each)s::int8 and (f.total <= %(most_bytes)s::int8 or f.place = 1)
order by f.inserted_at, f.id desc
