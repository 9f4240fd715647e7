-- What the numbers in expression trees stand for, one row each: kind, number, and up to four texts. Columns of the table
-- by their place; operators that came with Postgres and that a role may use; values of enums; collations, with their locales.
with used as (
  select m[1] as what, m[2]::oid as oid
  from pg_catalog.unnest(%(trees)s::text[]) as t (tree)
  cross join lateral pg_catalog.regexp_matches(
    t.tree, ':(opno|inputcollid|consttype|vartype) ([0-9]{1,9})', 'g'
  ) as m
)
select 'column' as kind, a.attnum::int8 as number, a.attname::text, null, null, null
from pg_catalog.pg_attribute as a
where a.attrelid = %(relation)s::oid and a.attnum > 0 and not a.attisdropped
union all
select 'operator', o.oid::int8, o.oprname::text, o.oprleft::int8::text, o.oprright::int8::text, null
from pg_catalog.pg_operator as o
where
  o.oid < 16384
  and o.oprnamespace = 'pg_catalog'::pg_catalog.regnamespace
  and o.oid in (select u.oid from used as u where u.what = 'opno')
  and pg_catalog.has_function_privilege(%(role)s::text, o.oprcode::oid, 'EXECUTE')
union all
select 'label', e.oid::int8, e.enumlabel::text, null, null, null
from pg_catalog.pg_enum as e
where e.enumtypid in (select u.oid from used as u where u.what in ('consttype', 'vartype'))
union all
select
  'collation',
  c.oid::int8,
  c.collisdeterministic::text,
  case when c.collprovider = 'd' then coalesce(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c') else c.collprovider::text end,
  case
    when c.collprovider <> 'd' then
      coalesce(
        pg_catalog.to_jsonb(c) ->> 'colllocale', pg_catalog.to_jsonb(c) ->> 'colliculocale', c.collcollate::text, ''
      )
    when coalesce(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c') = 'c' then d.datcollate::text
    else coalesce(pg_catalog.to_jsonb(d) ->> 'datlocale', pg_catalog.to_jsonb(d) ->> 'daticulocale', '')
  end,
  null
from pg_catalog.pg_collation as c
cross join pg_catalog.pg_database as d
where d.datname = pg_catalog.current_database() and c.oid in (select u.oid from used as u where u.what = 'inputcollid')
