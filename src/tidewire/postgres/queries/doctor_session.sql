-- One look, never for long: bounded time, and names that no other schema can take over.
select
    set_config('search_path', 'pg_catalog, pg_temp', true),
    set_config('statement_timeout', '30s', true),
    set_config('lock_timeout', '2s', true)
