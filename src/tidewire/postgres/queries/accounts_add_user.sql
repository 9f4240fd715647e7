-- Adds a user, unless the address or id is taken, with the identity that belongs to an address; whether it was added.
with made as (
  insert into auth.users (
    id, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data, is_anonymous,
    banned_until, invited_at
  )
  values (
    %(id)s::uuid, %(role)s::text, %(email)s::text, %(password)s::text,
    case when %(confirmed)s::bool then pg_catalog.now() end,
    %(app_metadata)s::jsonb, %(user_metadata)s::jsonb, %(is_anonymous)s::bool, %(banned_until)s::timestamptz,
    case when %(invited)s::bool then pg_catalog.now() end
  )
  on conflict do nothing
  returning id, email
), identity as (
  insert into auth.identities (provider_id, user_id, identity_data, provider)
  select
    made.id::text, made.id,
    pg_catalog.jsonb_build_object('sub', made.id::text, 'email', made.email, 'email_verified', %(confirmed)s::bool),
    'email'
  from made
  where made.email is not null
)
select made.id from made
