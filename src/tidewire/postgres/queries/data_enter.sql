-- Takes a caller's place until the transaction ends: what policies and functions read of a request, how long it may
-- take, where its functions look for names, and last the role, so that nothing before it needs that role's rights.
select
  pg_catalog.set_config('statement_timeout', %s, true),
  pg_catalog.set_config('request.jwt.claims', %s, true),
  pg_catalog.set_config('request.jwt.claim.sub', %s, true),
  pg_catalog.set_config('request.jwt.claim.role', %s, true),
  pg_catalog.set_config('request.method', %s, true),
  pg_catalog.set_config('request.path', %s, true),
  pg_catalog.set_config('request.headers', %s, true),
  pg_catalog.set_config('request.cookies', '{}', true),
  pg_catalog.set_config('search_path', %s, true),
  pg_catalog.set_config('role', %s, true)
