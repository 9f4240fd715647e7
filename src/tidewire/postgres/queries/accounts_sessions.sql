-- The sessions of a user, the one used last first.
select s.id, s.created_at, s.refreshed_at, s.method, s.user_agent, pg_catalog.host(s.ip) as ip
from auth.sessions as s
where s.user_id = %(user_id)s::uuid and (s.not_after is null or s.not_after > pg_catalog.now())
order by s.refreshed_at desc, s.id
limit 100
