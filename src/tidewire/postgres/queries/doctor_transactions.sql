-- The oldest transactions that have written something and are still open: the log since their start must be kept.
select a.pid, null as gid, a.datname::text as database, extract(epoch from clock_timestamp() - a.xact_start)::float8 as age_s
from pg_stat_activity as a
where a.backend_xid is not null and a.pid <> pg_backend_pid()
union all
select null, p.gid, p.database::text, extract(epoch from clock_timestamp() - p.prepared)::float8
from pg_prepared_xacts as p
order by age_s desc
limit 20
