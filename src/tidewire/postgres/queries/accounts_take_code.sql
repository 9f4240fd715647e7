-- Takes out whom a code belongs to, whatever its age, and whether it still counts.
delete from auth.flow_state as f
where f.auth_code = %(code)s::text
returning
  f.user_id, f.code_challenge,
  f.auth_code_issued_at > pg_catalog.now() - pg_catalog.make_interval(secs => %(lifetime_s)s::float8)
