-- Locks the session of a refresh token until the transaction ends: of two who refresh at once, one waits. Read its state
-- in a statement of its own, which sees what the other one did.
select s.id
from auth.refresh_tokens as t
join auth.sessions as s on s.id = t.session_id
where t.token = %(token)s::text
for no key update of s
