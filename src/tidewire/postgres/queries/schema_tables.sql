-- The tables and views of the exposed schemas with their columns; of partitions only the table that they belong to.
-- Types are written without a length: a cast to varchar(3) would cut what an assignment refuses.
select
  n.nspname::text as schema,
  c.relname::text as name,
  c.relkind in ('v', 'm') as is_view,
  could.insert_into,
  could.update_of,
  could.delete_from,
  coalesce(described.columns, '[]') as columns
from pg_catalog.pg_class as c
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
cross join lateral (
  -- Only what is not a plain table has to be looked at more closely, and that waits for locks.
  select case when c.relkind in ('r', 'p') then -1 else pg_catalog.pg_relation_is_updatable(c.oid, true) end as events
) as looked
cross join lateral (
  select looked.events & 8 <> 0 as insert_into, looked.events & 4 <> 0 as update_of, looked.events & 16 <> 0 as delete_from
) as could
left join lateral (
  select
    pg_catalog.json_agg(
      pg_catalog.json_build_array(
        a.attname,
        pg_catalog.format_type(a.atttypid, -1),
        not (a.attnotnull or t.typnotnull),
        a.atthasdef and a.attgenerated = '' or a.attidentity <> '' or t.typdefault is not null,
        a.attgenerated <> '',
        coalesce(a.attnum = any (i.indkey), false)
      )
      order by a.attnum
    ) as columns
  from pg_catalog.pg_attribute as a
  join pg_catalog.pg_type as t on t.oid = a.atttypid
  left join pg_catalog.pg_index as i on i.indrelid = a.attrelid and i.indisprimary
  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
) as described on true
where n.nspname = any (%(schemas)s::text[]) and c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
order by 1, 2
