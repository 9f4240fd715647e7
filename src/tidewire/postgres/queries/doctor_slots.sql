-- Every replication slot of the server with what it holds back; bounded, biggest first.
select
    s.slot_name::text as name,
    s.plugin::text as plugin,
    s.database::text as database,
    s.active,
    s.active_pid,
    s.wal_status,
    s.safe_wal_size,
    pg_wal_lsn_diff(here.lsn, s.restart_lsn)::bigint as retained_bytes,
    pg_wal_lsn_diff(here.lsn, s.confirmed_flush_lsn)::bigint as lag_bytes,
    -- to_jsonb: both columns are new in 17 and null before
    to_jsonb(s) ->> 'invalidation_reason' as invalidation_reason,
    extract(epoch from clock_timestamp() - (to_jsonb(s) ->> 'inactive_since')::timestamptz)::float8 as inactive_s
from pg_replication_slots as s
cross join (
    select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end as lsn
) as here
order by (s.slot_name = %(slot)s) desc, retained_bytes desc nulls last
limit 1000
