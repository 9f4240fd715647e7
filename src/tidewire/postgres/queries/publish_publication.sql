-- Purpose: the publication to change, and whether the connected role may.
select pg_catalog.pg_has_role(p.pubowner, 'USAGE') as ours, pg_catalog.pg_get_userbyid(p.pubowner) as owner
from pg_catalog.pg_publication p
where p.pubname = %(publication)s
