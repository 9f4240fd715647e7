-- Gives the link that was just followed a code to come back with; no row where it was asked for without a challenge.
update auth.flow_state as f
set link_hash = null, auth_code = %(code)s::text, auth_code_issued_at = pg_catalog.now(), updated_at = pg_catalog.now()
where f.link_hash = %(link)s::text
returning f.id
