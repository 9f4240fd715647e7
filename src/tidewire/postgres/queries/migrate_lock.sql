-- Purpose: one migration at a time, until the transaction ends, and nobody else's names in between.
-- A transaction's lock, not a session's: it works behind a pooler and cannot be left behind.
set transaction isolation level read committed;  -- after the wait we must see what the one before us did
set local search_path = pg_catalog, pg_temp;
set local lock_timeout = '60s';
select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('tidewire'), pg_catalog.hashtext('migrate'));
-- The statements that follow lock tables in use: better to give up soon than to make the application queue behind us.
set local lock_timeout = '5s';
