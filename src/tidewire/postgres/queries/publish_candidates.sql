-- Purpose: the tables that could be published: of one schema, or all that a misspelt name may have meant.
-- Partitions travel under their parent's name; tables of extensions are the extension's business.
select n.nspname as schema, c.relname as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p')
  and c.relpersistence = 'p'
  and not c.relispartition
  and n.nspname not in ('pg_catalog', 'information_schema')
  and (%(schema)s::text is null or n.nspname = %(schema)s)
  and not exists (
    select from pg_catalog.pg_depend d
    where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e'
  )
order by n.nspname, c.relname
limit 10000
