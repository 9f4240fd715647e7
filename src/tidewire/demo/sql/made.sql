-- Purpose: which version of the scripts the demo's schema was made by; no row where there is none.
select coalesce(pg_catalog.obj_description(n.oid, 'pg_namespace'), '') as version
from pg_catalog.pg_namespace n
where n.nspname = 'tidewire_demo'
