-- Exchanges a refresh token for its successor, and forgets those that were exchanged long ago.
with used as (
  update auth.refresh_tokens as t
  set revoked = true, updated_at = pg_catalog.clock_timestamp()
  where t.token = %(token)s::text
  returning t.session_id, t.user_id, t.token
), fresh as (
  insert into auth.refresh_tokens (token, user_id, session_id, parent)
  select %(successor)s::text, used.user_id, used.session_id, used.token from used
), old as (
  delete from auth.refresh_tokens as t using used
  where
    t.session_id = used.session_id and t.revoked
    and t.updated_at < pg_catalog.now() - pg_catalog.make_interval(secs => %(keep_s)s::float8)
)
update auth.sessions as s
set refreshed_at = pg_catalog.clock_timestamp(), updated_at = pg_catalog.clock_timestamp()
from used
where s.id = used.session_id
