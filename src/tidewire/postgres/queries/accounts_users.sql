-- A page of users, the oldest first, each with the number of all.
select
  u.id, u.aud, u.role, u.email, u.raw_app_meta_data, u.raw_user_meta_data, u.created_at, u.updated_at, u.is_anonymous,
  u.email_confirmed_at, u.confirmation_sent_at, u.recovery_sent_at, u.email_change, u.invited_at, u.last_sign_in_at,
  u.banned_until, u.encrypted_password,
  (
    select coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(i) order by i.created_at, i.id), '[]')
    from (select * from auth.identities as i where i.user_id = u.id order by i.created_at, i.id limit 20) as i
  ) as identities,
  pg_catalog.count(*) over () as total
from auth.users as u
where u.deleted_at is null
order by u.created_at, u.id
limit %(limit)s::int8
offset %(offset)s::int8
