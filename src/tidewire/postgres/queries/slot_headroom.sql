-- How many bytes of log may still be written before a slot is lost, null where that has no limit, and where the log ends.
select
    (select safe_wal_size from pg_catalog.pg_replication_slots where slot_name = %(slot)s),
    case when not pg_catalog.pg_is_in_recovery() then pg_catalog.pg_current_wal_flush_lsn()::text end
