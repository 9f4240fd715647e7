-- Counts an attempt at the codes of an address, and returns those that still count.
update auth.one_time_tokens as t
set attempts = t.attempts + 1, updated_at = pg_catalog.now()
where
  t.relates_to = %(email)s::text and t.token_type = any (%(types)s::text[]) and t.attempts < %(most)s::int4
  and t.created_at > pg_catalog.now() - pg_catalog.make_interval(secs => %(lifetime_s)s::float8)
returning t.user_id, t.token_type, t.relates_to, t.token_hash, t.code_hash
