-- Takes the link with this hash out, whatever its age; to whom it belongs and whether it still counts.
delete from auth.one_time_tokens as t
where t.token_hash = %(token_hash)s::text and t.token_type = any (%(types)s::text[])
returning
  t.user_id, t.token_type, t.relates_to,
  t.created_at > pg_catalog.now() - pg_catalog.make_interval(secs => %(lifetime_s)s::float8)
