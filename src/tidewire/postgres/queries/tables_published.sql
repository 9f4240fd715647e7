-- The columns of the tables that the log reports for some publications, as far as a name fits: their own, or that of a
-- table whose partitions they are. A partition that the log reports under the name of its root is not among them.
with reported as (
  select t.schemaname, t.tablename, t.pubname, nullif(pg_catalog.to_jsonb(t) -> 'attnames', 'null') as attnames  -- not before 15
  from pg_catalog.pg_publication_tables as t
  where t.pubname = any (%(publications)s)
),
members as (
  select c.oid, n.nspname, c.relname, c.relreplident, c.relispartition, r.pubname, r.attnames
  from reported as r
  join pg_catalog.pg_namespace as n on n.nspname = r.schemaname
  join pg_catalog.pg_class as c on c.relnamespace = n.oid and c.relname = r.tablename
),
roots as (
  select m.oid
  from members as m
  join pg_catalog.pg_publication as p on p.pubname = m.pubname and p.pubviaroot
)
select
  m.oid::int8,
  m.nspname::text,
  m.relname::text,
  m.relreplident::text,
  a.attname::text,
  a.atttypid::int8,
  a.atttypmod,
  m.relreplident = 'f' or a.attnum = any (i.indkey) as identity
from members as m
join pg_catalog.pg_attribute as a on a.attrelid = m.oid and a.attnum > 0 and not a.attisdropped
left join pg_catalog.pg_index as i
  on i.indrelid = m.oid
  and ((m.relreplident = 'd' and i.indisprimary) or (m.relreplident = 'i' and i.indisreplident))
where
  (m.attnames is null or m.attnames ? a.attname::text)
  -- Before 18 the log has no generated columns, though 15 lists them.
  and (a.attgenerated = '' or pg_catalog.current_setting('server_version_num')::int4 >= 180000)
  and (
    ((%(schema)s::text = '*' or m.nspname = %(schema)s::text) and (%(table)s::text = '*' or m.relname = %(table)s::text))
    or (
      m.relispartition
      and %(table)s::text <> '*'
      and exists (
        select
        from pg_catalog.pg_partition_ancestors(m.oid) as up (relid)
        join pg_catalog.pg_class as c on c.oid = up.relid
        join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
        where (%(schema)s::text = '*' or n.nspname = %(schema)s::text) and c.relname = %(table)s::text
      )
    )
  )
  and not exists (
    select
    from pg_catalog.pg_partition_ancestors(m.oid) as up (relid)
    join roots on roots.oid = up.relid
    where up.relid <> m.oid
  )
group by m.oid, m.nspname, m.relname, m.relreplident, a.attname, a.atttypid, a.atttypmod, a.attnum, i.indkey
order by m.nspname, m.relname, a.attnum
