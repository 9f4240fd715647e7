-- Make a slot that ends with this connection. Runs on a replication connection, so the name is a quoted literal.
select lsn::text from pg_catalog.pg_create_logical_replication_slot({name}, 'pgoutput', true)
