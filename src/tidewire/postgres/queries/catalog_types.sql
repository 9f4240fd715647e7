-- The given types and every type they are made of, however deep.
with recursive wanted (oid) as (
  select unnest(%(oids)s::oid[])
  union
  select part.oid
  from wanted
  join pg_catalog.pg_type as whole on whole.oid = wanted.oid
  cross join lateral (
    select whole.typelem where whole.typsubscript = 'pg_catalog.array_subscript_handler'::regproc
    union all
    select whole.typbasetype where whole.typtype = 'd'
    union all
    select a.atttypid
    from pg_catalog.pg_attribute as a
    where whole.typtype = 'c' and a.attrelid = whole.typrelid and a.attnum > 0 and not a.attisdropped
  ) as part (oid)
)
select
  t.oid::int8,
  t.typname::text,
  t.typtype::text,
  case when t.typsubscript = 'pg_catalog.array_subscript_handler'::regproc then t.typelem::int8 end as element,
  case when t.typtype = 'd' then t.typbasetype::int8 end as base,
  t.typdelim::text,
  coalesce(
    (
      select pg_catalog.array_agg(a.attname::text order by a.attnum)
      from pg_catalog.pg_attribute as a
      where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    ),
    '{}'
  ) as attribute_names,
  coalesce(
    (
      select pg_catalog.array_agg(a.atttypid::int8 order by a.attnum)
      from pg_catalog.pg_attribute as a
      where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    ),
    '{}'
  ) as attribute_types
from wanted
join pg_catalog.pg_type as t on t.oid = wanted.oid
