-- Purpose: note a migration in the transaction that applied it.
insert into realtime.tidewire_migrations (version, half, name, checksum)
values (%(version)s, %(half)s, %(name)s, %(checksum)s)
