-- Remembers a link and a code that go out by e-mail, in place of earlier ones for the same purpose, and with a challenge
-- that the link leads back with a code.
with sent as (
  update auth.users as u
  set
    confirmation_sent_at = case
      when %(type)s::text in ('signup', 'invite') then pg_catalog.now() else u.confirmation_sent_at
    end,
    recovery_sent_at = case
      when %(type)s::text in ('recovery', 'magiclink') then pg_catalog.now() else u.recovery_sent_at
    end,
    email_change = case when %(type)s::text = 'email_change' then %(email)s::text else u.email_change end,
    email_change_sent_at = case
      when %(type)s::text = 'email_change' then pg_catalog.now() else u.email_change_sent_at
    end
  where u.id = %(user_id)s::uuid
), flow as (
  insert into auth.flow_state as f (user_id, token_type, link_hash, code_challenge)
  select %(user_id)s::uuid, %(type)s::text, %(token_hash)s::text, %(challenge)s::text
  where %(challenge)s::text is not null
  on conflict (user_id, token_type) do update
  set
    link_hash = excluded.link_hash, code_challenge = excluded.code_challenge, auth_code = null,
    auth_code_issued_at = null, updated_at = pg_catalog.now()
)
insert into auth.one_time_tokens as t (user_id, token_type, token_hash, code_hash, relates_to)
values (%(user_id)s::uuid, %(type)s::text, %(token_hash)s::text, %(code_hash)s::text, %(email)s::text)
on conflict (user_id, token_type) do update
set
  token_hash = excluded.token_hash, code_hash = excluded.code_hash, relates_to = excluded.relates_to, attempts = 0,
  created_at = pg_catalog.now(), updated_at = pg_catalog.now()
