-- One row about the server, this role and its settings; readable by any role.
select
    current_setting('server_version_num')::int as version_num,
    current_setting('server_version') as version,
    pg_is_in_recovery() as in_recovery,
    current_database()::text as database,
    pg_encoding_to_char((select d.encoding from pg_database as d where d.datname = current_database())) as encoding,
    (select sum(d.numbackends)::int from pg_stat_database as d) as connections,
    (select count(*)::int from pg_stat_replication) as wal_senders,
    r.rolname::text as role,
    r.rolsuper or r.rolreplication or coalesce(
        (select bool_or(pg_has_role(r.oid, m.oid, 'MEMBER')) from pg_roles as m where m.rolname = 'rds_replication'),
        false
    ) as may_replicate,
    pg_has_role(r.oid, 'pg_read_all_stats', 'USAGE') as sees_all_sessions,
    (
        select m.rolname::text from pg_roles as m
        where m.rolname in ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')
        order by m.rolname limit 1
    ) as managed_by,
    (
        select jsonb_object_agg(s.name, jsonb_build_object('value', s.setting, 'source', s.source))
        from pg_settings as s where s.name = any (%(settings)s)
    ) as settings
from pg_roles as r
where r.rolname = session_user
