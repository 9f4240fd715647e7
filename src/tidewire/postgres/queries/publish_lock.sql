-- Purpose: one change of the publication at a time, and no long queue behind us for a table in use.
set transaction isolation level read committed;
set local search_path = pg_catalog, pg_temp;
set local lock_timeout = '30s';
select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('tidewire'), pg_catalog.hashtext('publish'));
set local lock_timeout = '5s';
