-- The present name of a table, and its columns with their types, whose names must do under any search_path.
with bare as materialized (
  select pg_catalog.set_config('search_path', '', true) as search_path
)

select
  n.nspname::text,
  c.relname::text,
  a.attname::text,
  pg_catalog.format_type(a.atttypid, a.atttypmod)
from bare
join pg_catalog.pg_class as c on bare.search_path = '' and c.oid = %(relation)s::oid
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
order by a.attnum
