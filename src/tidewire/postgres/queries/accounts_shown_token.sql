-- What is stored of a refresh token and of its session, which is locked already. Times are Unix seconds.
select
  s.id, s.user_id, s.refresh_token_key, s.method,
  extract(epoch from s.created_at)::float8 as began_at,
  extract(epoch from s.refreshed_at)::float8 as refreshed_at,
  extract(epoch from s.not_after)::float8 as ends_at,
  case when t.revoked then extract(epoch from t.updated_at)::float8 end as used_at,
  exists (select from auth.refresh_tokens as n where n.parent = t.token and n.revoked) as successor_used,
  extract(epoch from pg_catalog.clock_timestamp())::float8 as now
from auth.refresh_tokens as t
join auth.sessions as s on s.id = t.session_id
where t.token = %(token)s::text
