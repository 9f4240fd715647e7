-- Has one node at a time change the signing keys, until the transaction ends.
select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('tidewire.accounts'), pg_catalog.hashtext('signing keys'))
