-- Opens a session with its first refresh token, and ends the oldest ones of a user who has too many.
with session as (
  insert into auth.sessions (id, user_id, method, refresh_token_key, user_agent, ip)
  values (%(id)s::uuid, %(user_id)s::uuid, %(method)s::text, %(key)s::bytea, %(user_agent)s::text, %(ip)s::inet)
  returning id, user_id
), token as (
  insert into auth.refresh_tokens (token, user_id, session_id)
  select %(token)s::text, session.user_id, session.id from session
), identity as (
  update auth.identities as i set last_sign_in_at = pg_catalog.now()
  where i.user_id = %(user_id)s::uuid and i.provider = 'email'
), surplus as (
  delete from auth.sessions as s
  where s.id in (
    select old.id from auth.sessions as old
    where old.user_id = %(user_id)s::uuid
    order by old.refreshed_at desc
    offset %(most)s::int8
  )
)
update auth.users as u set last_sign_in_at = pg_catalog.now() where u.id = %(user_id)s::uuid
