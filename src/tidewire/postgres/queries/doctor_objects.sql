-- One row: which of Tidewire's roles, schemas, publications and event triggers exist, and whether its migration table can be read.
select
    (select coalesce(jsonb_agg(r.rolname), '[]') from pg_roles as r where r.rolname = any (%(roles)s)) as roles,
    (select coalesce(jsonb_agg(n.nspname), '[]') from pg_namespace as n where n.nspname = any (%(schemas)s)) as schemas,
    (
        select has_schema_privilege(n.oid, 'USAGE') and has_table_privilege(c.oid, 'SELECT')
        from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = 'realtime' and c.relname = 'tidewire_migrations'
    ) as migrations_readable,
    (
        -- to_jsonb: columns that this server's version does not have are null instead of an error
        select coalesce(jsonb_agg(jsonb_build_object(
            'name', p.pubname,
            'via_root', p.pubviaroot,
            'insert', p.pubinsert,
            'update', p.pubupdate,
            'delete', p.pubdelete,
            'truncate', p.pubtruncate,
            'generated', to_jsonb(p) ->> 'pubgencols'
        ) order by p.pubname), '[]')
        from pg_publication as p where p.pubname = any (%(publications)s)
    ) as publications,
    (
        select coalesce(jsonb_object_agg(t.evtname, t.evtenabled), '{}')
        from pg_event_trigger as t where t.evtname = any (%(event_triggers)s)
    ) as event_triggers,
    (
        select coalesce(jsonb_agg(jsonb_build_array(t.nspname, t.relname)), '[]')
        from (
            select n.nspname, c.relname
            from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
            where
                c.relkind in ('r', 'p') and c.relpersistence = 'p' and not c.relispartition
                and n.nspname not in ('pg_catalog', 'information_schema', 'realtime', 'auth')
            order by (n.nspname = 'public') desc, n.nspname, c.relname
            limit 3
        ) as t
    ) as publishable
