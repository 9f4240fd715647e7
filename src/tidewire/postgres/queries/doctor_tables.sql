-- The published tables, or the requested ones whether published or not, with what decides about their changes.
with requested as (
    select u.schema_name, u.table_name
    from unnest(%(schemas)s::text[], %(tables)s::text[]) as u (schema_name, table_name)
), published as (
    select
        p.schemaname,
        p.tablename,
        -- to_jsonb: 14 has neither column lists nor row filters
        jsonb_agg(jsonb_build_object(
            'publication', p.pubname, 'columns', to_jsonb(p) -> 'attnames', 'filter', to_jsonb(p) ->> 'rowfilter'
        ) order by p.pubname) as memberships
    from pg_publication_tables as p
    where p.pubname = any (%(publications)s)
    group by p.schemaname, p.tablename
), chosen as (
    select n.oid as namespace, n.nspname, c.*, p.memberships
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    left join published as p on p.schemaname = n.nspname and p.tablename = c.relname
    left join requested as r on r.schema_name = n.nspname and r.table_name = c.relname
    where case when cardinality(%(tables)s::text[]) = 0 then p.memberships is not null else r.table_name is not null end
)
select
    c.nspname::text as schema,
    c.relname::text as name,
    c.relkind::text as kind,
    (
        select jsonb_build_array(rn.nspname, rc.relname)
        from pg_class as rc join pg_namespace as rn on rn.oid = rc.relnamespace
        where c.relispartition and rc.oid = pg_partition_root(c.oid)
    ) as root,
    c.relpersistence::text as persistence,
    coalesce(c.memberships, '[]') as memberships,
    (
        select coalesce(jsonb_agg(jsonb_build_object(
            'name', a.attname,
            'type', format_type(a.atttypid, a.atttypmod),
            'generated', a.attgenerated,
            'expression', case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid) end
        ) order by a.attnum), '[]')
        from pg_attribute as a
        left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    ) as columns,
    (
        select coalesce(jsonb_agg(a.attname), '[]')
        from pg_index as i join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
        where i.indrelid = c.oid and i.indisprimary
    ) as primary_key,
    (
        -- rows live in the table itself or in its leaf partitions; their identity is what the log uses
        select coalesce(jsonb_agg(jsonb_build_object(
            'schema', ln.nspname,
            'name', l.relname,
            'logged', l.relpersistence = 'p',
            'identity', l.relreplident,
            'has_key', exists (
                select from pg_index as i
                where i.indrelid = l.oid and case l.relreplident when 'i' then i.indisreplident else i.indisprimary end
            )
        ) order by l.oid), '[]')
        from (
            select c.oid where c.relkind = 'r'
            union all
            select tree.relid from pg_partition_tree(c.oid) as tree where c.relkind = 'p' and tree.isleaf
        ) as leaf
        join pg_class as l on l.oid = leaf.oid and l.relkind = 'r'
        join pg_namespace as ln on ln.oid = l.relnamespace
    ) as storage,
    (
        -- what a row filter reads; where there is a column list as well, its columns cannot be told apart from these
        select coalesce(jsonb_agg(distinct a.attname), '[]')
        from pg_publication_rel as pr
        join pg_publication as p on p.oid = pr.prpubid and p.pubname = any (%(publications)s)
        join pg_depend as d on d.classid = 'pg_publication_rel'::regclass and d.objid = pr.oid and d.refobjid = pr.prrelid
        join pg_attribute as a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid and a.attnum > 0
        where pr.prrelid = c.oid and to_jsonb(pr) ->> 'prattrs' is null
    ) as filter_columns,
    c.relrowsecurity as row_security,
    (select count(*)::int from pg_policy as y where y.polrelid = c.oid) as policies,
    (
        select count(*)::int from pg_policy as y
        where y.polrelid = c.oid and y.polpermissive and y.polcmd in ('r', '*')
    ) as read_policies,
    (
        select coalesce(jsonb_agg(r.rolname order by r.rolname), '[]') from pg_roles as r
        where
            r.rolname = any (%(readers)s)
            and has_schema_privilege(r.oid, c.namespace, 'USAGE')
            and has_any_column_privilege(r.oid, c.oid, 'SELECT')
    ) as readers
from chosen as c
order by c.nspname, c.relname
limit 10000
