-- Purpose: which objects of ours are there, whose they are, and whether we may act as their owner.
-- The catalog answers even about a schema that we may not use.
select
  (array_agg(pg_catalog.pg_get_userbyid(found.owner)) filter (where found.name = 'tidewire_migrations'))[1] as owner,
  coalesce(bool_and(pg_catalog.pg_has_role(found.owner, 'USAGE')), true) as ours,
  coalesce(bool_or(found.name = 'tidewire_maintain_messages'), false) as upkeep
from (
  select c.relname as name, c.relowner as owner, c.relnamespace as namespace
  from pg_catalog.pg_class c
  where c.relname = 'tidewire_migrations' and c.relkind = 'r'
  union all
  select p.proname, p.proowner, p.pronamespace
  from pg_catalog.pg_proc p
  where p.proname = 'tidewire_maintain_messages'
) as found
join pg_catalog.pg_namespace n on n.oid = found.namespace
where n.nspname = 'realtime'
