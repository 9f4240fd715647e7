-- Where the log ends on disk, the server's time in microseconds, and how many bytes of log a slot may keep; -1: all.
select
  pg_catalog.pg_current_wal_flush_lsn()::text,
  (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::bigint,
  (select case when s.setting = '-1' then -1 else s.setting::bigint * 1048576 end
   from pg_catalog.pg_settings as s where s.name = 'max_slot_wal_keep_size')
