-- What a role may read of a table, through the table itself or through a table that it is a partition of.
-- One row for each of these, nearest first; none when the role is gone. `unrestricted`: no policy applies to the role.
select
  coalesce(
    (
      select pg_catalog.array_agg(a.attname::text)
      from pg_catalog.pg_attribute as a
      where
        a.attrelid = c.oid
        and a.attnum > 0
        and not a.attisdropped
        and pg_catalog.has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
        and pg_catalog.has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')
    ),
    '{}'
  ) as columns,
  c.oid is not null  -- of a table that is gone nobody may see anything any more
  and (
    not c.relrowsecurity
    or r.rolsuper
    or r.rolbypassrls
    or (pg_catalog.pg_has_role(r.oid, c.relowner, 'USAGE') and not c.relforcerowsecurity)
  ) as unrestricted,
  coalesce(
    (
      select pg_catalog.array_agg(a.attname::text)
      from pg_catalog.pg_index as i
      join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
      where i.indrelid = %(relation)s::oid and i.indisprimary
    ),
    '{}'
  ) as key,
  c.oid::int8 as through
from pg_catalog.pg_roles as r
left join (
  select %(relation)s::oid as relid, 0::int8 as distance
  union all
  select up.relid, up.distance
  from pg_catalog.pg_partition_ancestors(%(relation)s::oid) with ordinality as up (relid, distance)
  where up.relid <> %(relation)s::oid
) as way on true
left join pg_catalog.pg_class as c on c.oid = way.relid
where r.rolname = %(role)s::text
order by way.distance
