-- Make a durable logical slot that Postgres 17 and later keeps on its standbys.
select lsn::text from pg_catalog.pg_create_logical_replication_slot(%(slot)s, 'pgoutput', false, false, true)
