-- Ends a user and forgets who it was, but keeps the row that other tables refer to.
with ended as (
  update auth.users as u
  set
    email = null, encrypted_password = null, email_change = null, phone = null, raw_user_meta_data = '{}',
    raw_app_meta_data = '{}', deleted_at = pg_catalog.now(), updated_at = pg_catalog.now()
  where u.id = %(id)s::uuid and u.deleted_at is null
  returning u.id
), sessions as (
  delete from auth.sessions as s using ended where s.user_id = ended.id
), identities as (
  delete from auth.identities as i using ended where i.user_id = ended.id
), codes as (
  delete from auth.one_time_tokens as t using ended where t.user_id = ended.id
), flows as (
  delete from auth.flow_state as f using ended where f.user_id = ended.id
)
select ended.id from ended
