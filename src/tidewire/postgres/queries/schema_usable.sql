-- What the role that asks may use of one schema, and what comments say of it, as one JSON value: for describing, never
-- for deciding what is allowed. Functions are in the order of schema_functions.sql, overload by overload.
select coalesce((
  select
    pg_catalog.json_build_object(
      'comment', pg_catalog.obj_description(n.oid, 'pg_namespace'),
      'tables', (
        select coalesce(pg_catalog.json_object_agg(c.relname, pg_catalog.json_build_object(
          'comment', pg_catalog.obj_description(c.oid, 'pg_class'),
          'deletable', pg_catalog.has_table_privilege(c.oid, 'DELETE'),
          'columns', described.columns
        )), '{}')
        from pg_catalog.pg_class as c
        cross join lateral (
          select pg_catalog.json_agg(pg_catalog.json_build_array(
            a.attname,
            pg_catalog.format_type(b.oid, m.typmod),
            pg_catalog.format_type(e.oid, -1),
            e.typtype,
            e.oid <> b.oid,
            case e.typtype when 'e' then (
              select pg_catalog.json_agg(l.enumlabel order by l.enumsortorder)
              from pg_catalog.pg_enum as l
              where l.enumtypid = e.oid
            ) end,
            case when b.typname in ('varchar', 'bpchar') and m.typmod > 4 then m.typmod - 4 end,
            pg_catalog.col_description(c.oid, a.attnum),
            pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT'),
            pg_catalog.has_column_privilege(c.oid, a.attnum, 'INSERT'),
            pg_catalog.has_column_privilege(c.oid, a.attnum, 'UPDATE')
          ) order by a.attnum) as columns
          from pg_catalog.pg_attribute as a
          join pg_catalog.pg_type as t on t.oid = a.atttypid
          join pg_catalog.pg_type as b on b.oid = case t.typtype when 'd' then t.typbasetype else t.oid end
          join pg_catalog.pg_type as e on e.oid = case when b.typcategory = 'A' and b.typelem <> 0 then b.typelem else b.oid end
          cross join lateral (select case t.typtype when 'd' then t.typtypmod else a.atttypmod end as typmod) as m
          where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        ) as described
        where
          c.relnamespace = n.oid
          and c.relkind in ('r', 'p', 'v', 'm', 'f')
          and not c.relispartition
          and described.columns is not null
          and (
            pg_catalog.has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE')
            or pg_catalog.has_table_privilege(c.oid, 'DELETE')
          )
      ),
      'functions', (
        select coalesce(pg_catalog.json_object_agg(named.name, named.overloads), '{}')
        from (
          select
            p.proname as name,
            pg_catalog.json_agg(
              pg_catalog.json_build_array(
                pg_catalog.has_function_privilege(p.oid, 'EXECUTE'), pg_catalog.obj_description(p.oid, 'pg_proc')
              )
              order by p.oid
            ) as overloads
          from pg_catalog.pg_proc as p
          where
            p.pronamespace = n.oid
            and p.prokind = 'f'
            and p.prorettype not in ('pg_catalog.trigger'::pg_catalog.regtype, 'pg_catalog.event_trigger'::pg_catalog.regtype)
          group by p.proname
        ) as named
      )
    )::text
  from pg_catalog.pg_namespace as n
  where n.nspname = %s and pg_catalog.has_schema_privilege(n.oid, 'USAGE')
), '{}')
