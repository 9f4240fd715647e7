-- Purpose: the migrations this database has seen.
select version, half, name, checksum, applied_at
from realtime.tidewire_migrations
order by half desc, version
