-- Whether no policy at all applies to a role; no row when there is no such role.
select r.rolsuper or r.rolbypassrls from pg_catalog.pg_roles as r where r.rolname = %(role)s::text
