-- Drop a logical slot of this database if there is one; fails while somebody streams from it.
select pg_catalog.pg_drop_replication_slot(slot_name)
from pg_catalog.pg_replication_slots
where slot_name = %(slot)s and database = pg_catalog.current_database()
