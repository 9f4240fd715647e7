-- Make a durable logical slot.
select lsn::text from pg_catalog.pg_create_logical_replication_slot(%(slot)s, 'pgoutput', false, false)
