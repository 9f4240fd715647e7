-- The functions that expression trees call, and those that their bodies call, by number; whether a role may call them.
-- `plain`: nothing but the body of an SQL function has a say in its result.
with recursive called (oid) as (
  select m[1]::oid
  from pg_catalog.unnest(%(trees)s::text[]) as t (tree)
  cross join lateral pg_catalog.regexp_matches(t.tree, ':funcid ([0-9]{1,9})', 'g') as m
  union
  select m[1]::oid
  from called
  join pg_catalog.pg_proc as f on f.oid = called.oid
  cross join lateral pg_catalog.regexp_matches(f.prosqlbody::text, ':funcid ([0-9]{1,9})', 'g') as m
)
select
  f.oid::int8,
  f.proname::text,
  f.proargtypes::oid[]::int8[],
  f.prorettype::int8,
  f.oid < 16384 and f.pronamespace = 'pg_catalog'::pg_catalog.regnamespace as builtin,
  pg_catalog.has_function_privilege(%(role)s::text, f.oid, 'EXECUTE') as executable,
  l.lanname = 'sql'
  and f.prokind = 'f'
  and not f.proretset
  and f.pronargs = 0
  and not exists (select from pg_catalog.unnest(f.proconfig) as s (setting) where s.setting not like 'search\_path=%%') as plain,
  f.prosqlbody::text,
  f.prosrc,
  f.provolatile = 'i' as immutable
from called
join pg_catalog.pg_proc as f on f.oid = called.oid
join pg_catalog.pg_language as l on l.oid = f.prolang
