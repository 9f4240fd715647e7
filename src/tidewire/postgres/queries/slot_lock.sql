-- One node at a time looks after a slot.
select pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended('tidewire slot ' || %(slot)s, 0))
