-- For how long the log has been served, for the next server to read.
select pg_catalog.pg_logical_emit_message(true, %(prefix)s::text, %(uptime)s::text)::text
