-- Whether a session is open for a user.
select s.id from auth.sessions as s
where
  s.id = %(id)s::uuid and s.user_id = %(user_id)s::uuid
  and (s.not_after is null or s.not_after > pg_catalog.now())
