-- Let other nodes look after the slot.
select pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended('tidewire slot ' || %(slot)s, 0))
