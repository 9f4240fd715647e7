-- Lets a repair wait for nobody for long: whoever comes after a waiting ALTER TABLE would wait as well.
select
  pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false),
  pg_catalog.set_config('lock_timeout', '3s', false),
  pg_catalog.set_config('statement_timeout', '60s', false)
