-- How many users there are.
select pg_catalog.count(*) from auth.users as u where u.deleted_at is null
