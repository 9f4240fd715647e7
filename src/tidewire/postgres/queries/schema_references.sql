-- The foreign keys between tables of the exposed schemas. `unique`: a key lies within the columns that refer.
select
  f.conname::text as name,
  n.nspname::text as schema,
  c.relname::text as "table",
  named.columns,
  tn.nspname::text as to_schema,
  tc.relname::text as to_table,
  named.to_columns,
  exists (
    select
    from pg_catalog.pg_index as i
    where
      i.indrelid = f.conrelid
      and i.indisunique
      and i.indisvalid
      and i.indpred is null
      and i.indexprs is null
      and (i.indkey::int2[])[0:i.indnkeyatts - 1] operator(pg_catalog.<@) f.conkey
  ) as "unique"
from pg_catalog.pg_constraint as f
join pg_catalog.pg_class as c on c.oid = f.conrelid
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
join pg_catalog.pg_class as tc on tc.oid = f.confrelid
join pg_catalog.pg_namespace as tn on tn.oid = tc.relnamespace
cross join lateral (
  select
    pg_catalog.array_agg(a.attname::text order by k.place) as columns,
    pg_catalog.array_agg(ta.attname::text order by k.place) as to_columns
  from rows from (pg_catalog.unnest(f.conkey), pg_catalog.unnest(f.confkey)) with ordinality as k (attnum, to_attnum, place)
  join pg_catalog.pg_attribute as a on a.attrelid = f.conrelid and a.attnum = k.attnum
  join pg_catalog.pg_attribute as ta on ta.attrelid = f.confrelid and ta.attnum = k.to_attnum
) as named
where
  f.contype = 'f'
  and f.conparentid = 0  -- not what partitions inherit from the constraint of their table
  and n.nspname = any (%(schemas)s::text[])
  and tn.nspname = any (%(schemas)s::text[])
order by 2, 3, 1
