-- The migrations that this database has seen.
select m.version, m.half, m.checksum from realtime.tidewire_migrations as m
