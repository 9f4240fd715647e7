-- The collations of a table's columns: whether equal texts may differ in their bytes, which provider, and the locale.
select
  a.attname::text,
  c.collisdeterministic,
  case when c.collprovider = 'd' then coalesce(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c') else c.collprovider::text end,
  case
    when c.collprovider <> 'd' then
      coalesce(
        pg_catalog.to_jsonb(c) ->> 'colllocale', pg_catalog.to_jsonb(c) ->> 'colliculocale', c.collcollate::text, ''
      )
    when coalesce(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c') = 'c' then d.datcollate::text
    else coalesce(pg_catalog.to_jsonb(d) ->> 'datlocale', pg_catalog.to_jsonb(d) ->> 'daticulocale', '')
  end
from pg_catalog.pg_attribute as a
join pg_catalog.pg_collation as c on c.oid = a.attcollation
cross join pg_catalog.pg_database as d
where a.attrelid = %(relation)s::oid and a.attnum > 0 and not a.attisdropped and d.datname = current_database()
