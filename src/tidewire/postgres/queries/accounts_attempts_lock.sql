-- Returns the failures of an account and of one address at it, and locks both rows until the transaction ends.
insert into auth.tidewire_attempts as t (key, failures, last_at)
values (%(account)s::bytea, 0, pg_catalog.clock_timestamp()), (%(pair)s::bytea, 0, pg_catalog.clock_timestamp())
on conflict (key) do update set failures = t.failures
returning t.key, t.failures, extract(epoch from pg_catalog.clock_timestamp() - t.last_at)::float8
