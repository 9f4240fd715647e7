-- What Postgres says about one replication slot, in a shape that is the same from version 14 to 18.
select
  s.slot_type = 'logical' and s.plugin = 'pgoutput' and s.database = pg_catalog.current_database() as ours,
  coalesce(s.plugin::text, 'physical') as plugin,
  coalesce(s.database::text, '') as database,
  s.active,
  coalesce(s.wal_status, '') as wal_status,
  coalesce(pg_catalog.to_jsonb(s) ->> 'invalidation_reason', '') as invalidation_reason,
  s.confirmed_flush_lsn::text
from pg_catalog.pg_replication_slots as s
where s.slot_name = %(slot)s
