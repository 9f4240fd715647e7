-- Writes down failures, and deletes some of the rows that are too old to count: more than an attempt adds.
with outlived as (
  select o.key from auth.tidewire_attempts as o
  where o.last_at < pg_catalog.now() - pg_catalog.make_interval(secs => %(kept_s)s::float8)
    and o.key not in (%(account)s::bytea, %(pair)s::bytea)
  order by o.last_at
  limit 20
  for update skip locked
), deleted as (
  delete from auth.tidewire_attempts as d using outlived where d.key = outlived.key
)
update auth.tidewire_attempts as t
set
  failures = case when t.key = %(account)s::bytea then %(account_failures)s::int4 else %(pair_failures)s::int4 end,
  last_at = pg_catalog.clock_timestamp()
where t.key in (%(account)s::bytea, %(pair)s::bytea)
