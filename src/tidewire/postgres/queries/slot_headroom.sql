-- How many bytes of log may still be written before a slot is lost; nothing where that has no limit.
select safe_wal_size from pg_catalog.pg_replication_slots where slot_name = %(slot)s
