-- Copy a slot to one that ends with this connection. Runs on a replication connection, so names are quoted literals.
with copied as (
  select slot_name from pg_catalog.pg_copy_logical_replication_slot({source}, {name}, true)
)
select s.confirmed_flush_lsn::text
from copied
cross join lateral (
  select confirmed_flush_lsn from pg_catalog.pg_replication_slots where slot_name = {source}
) as s
