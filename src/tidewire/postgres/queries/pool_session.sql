-- Prepares a session: how values are written, how long a statement may run, and where operators are looked for, which
-- is only where not everybody may create one: an operator runs with the rights of whoever uses it.
select
  pg_catalog.set_config('TimeZone', 'UTC', false),
  pg_catalog.set_config('DateStyle', 'ISO', false),
  pg_catalog.set_config('IntervalStyle', 'postgres', false),
  pg_catalog.set_config('extra_float_digits', '1', false),
  pg_catalog.set_config('statement_timeout', %(limit_ms)s, false),
  pg_catalog.set_config('idle_in_transaction_session_timeout', %(limit_ms)s, false),
  pg_catalog.set_config(
    'search_path',
    pg_catalog.concat_ws(
      ', ',
      'pg_catalog',
      (
        select pg_catalog.string_agg(n.nspname::text, ', ' order by n.nspname)
        from pg_catalog.pg_namespace as n
        where n.nspname in ('extensions', 'public') and not pg_catalog.has_schema_privilege('public', n.oid, 'CREATE')
      ),
      'pg_temp'  -- last, because otherwise it would be searched first
    ),
    false
  )
