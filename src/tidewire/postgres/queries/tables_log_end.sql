-- How far the log is on disk: every transaction that commits after this question has its commit record at or beyond it.
select pg_catalog.pg_current_wal_flush_lsn()::text
