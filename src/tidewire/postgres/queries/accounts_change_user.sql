-- Changes what is given of a user; null leaves a column as it is. Metadata are merged, and null members removed.
with changed as (
  update auth.users as u
  set
    email = coalesce(%(email)s::text, u.email),
    encrypted_password = coalesce(
      %(password)s::text, case when not %(drop_password)s::bool then u.encrypted_password end
    ),
    email_confirmed_at = case
      when %(confirm)s::bool then coalesce(u.email_confirmed_at, pg_catalog.now())
      else u.email_confirmed_at
    end,
    email_change = case when %(email)s::text is null then u.email_change end,
    role = coalesce(%(role)s::text, u.role),
    raw_app_meta_data = (
      select coalesce(pg_catalog.jsonb_object_agg(m.key, m.value), '{}')
      from pg_catalog.jsonb_each(u.raw_app_meta_data || coalesce(%(app_metadata)s::jsonb, '{}')) as m
      where m.value <> 'null'
    ),
    raw_user_meta_data = (
      select coalesce(pg_catalog.jsonb_object_agg(m.key, m.value), '{}')
      from pg_catalog.jsonb_each(u.raw_user_meta_data || coalesce(%(user_metadata)s::jsonb, '{}')) as m
      where m.value <> 'null'
    ),
    is_anonymous = u.is_anonymous and %(email)s::text is null,
    banned_until = case when %(set_ban)s::bool then %(banned_until)s::timestamptz else u.banned_until end,
    updated_at = pg_catalog.now()
  where u.id = %(id)s::uuid and u.deleted_at is null
  returning u.id, u.email, u.email_confirmed_at
), identity as (
  insert into auth.identities as i (provider_id, user_id, identity_data, provider)
  select
    c.id::text, c.id,
    pg_catalog.jsonb_build_object(
      'sub', c.id::text, 'email', c.email, 'email_verified', c.email_confirmed_at is not null
    ),
    'email'
  from changed as c
  where c.email is not null and (%(email)s::text is not null or %(confirm)s::bool)
  on conflict (provider_id, provider) do update
  set identity_data = i.identity_data || excluded.identity_data, updated_at = pg_catalog.now()
)
select c.id from changed as c
