-- Purpose: the facts about the named tables that decide whether and how they can be published.
-- `covered`: the publication reports the table, perhaps without naming it (FOR ALL TABLES, or its whole schema).
-- `identified`: the table, or each of its leaf partitions, can say which row an UPDATE or DELETE touched.
-- `not_full`: the members of the tree (the table itself, its partitions) whose replica identity is not FULL.
select
  n.nspname as schema,
  c.relname as name,
  c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema') as is_user_table,
  c.relpersistence = 'p' as is_logged,
  pg_catalog.pg_has_role(c.relowner, 'USAGE') as ours,
  pg_catalog.pg_get_userbyid(c.relowner) as owner,
  exists (
    select from pg_catalog.pg_publication_rel r
    join pg_catalog.pg_publication p on p.oid = r.prpubid
    where p.pubname = %(publication)s and r.prrelid = c.oid
  ) as named,
  exists (
    select from pg_catalog.pg_publication_tables t
    where t.pubname = %(publication)s and t.schemaname = n.nspname and t.tablename = c.relname
  ) as covered,
  tree.identified,
  tree.not_full
from unnest(%(schemas)s::text[], %(names)s::text[]) as wanted (schema, name)
join pg_catalog.pg_namespace n on n.nspname = wanted.schema
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
cross join lateral (
  select
    coalesce(
      bool_and(m.relreplident = 'f' or pg_catalog.pg_get_replica_identity_index(m.oid) is not null)
        filter (where m.relkind = 'r'),
      true
    ) as identified,
    coalesce(
      array_agg(array[mn.nspname::text, m.relname::text] order by mn.nspname, m.relname)
        filter (where m.relreplident <> 'f' and m.relkind in ('r', 'p')),
      array[]::text[]
    ) as not_full
  from (
    select c.oid as relid
    union
    select t.relid from pg_catalog.pg_partition_tree(c.oid) t
  ) as member
  join pg_catalog.pg_class m on m.oid = member.relid
  join pg_catalog.pg_namespace mn on mn.oid = m.relnamespace
) as tree
