-- The row-level security of a table, and what a role is to it; one row for each policy, at least one, none when the
-- table or the role is gone. The byte order of constants in trees is tested on one that every server has: a text of 8 asterisks.
-- `rows` is the table itself, or a partition of it with the same columns: expressions are written for its rows.
select
  c.relrowsecurity,
  c.relforcerowsecurity,
  r.rolsuper or r.rolbypassrls as bypasses,
  pg_catalog.pg_has_role(r.oid, c.relowner, 'USAGE') as owns,
  (
    select pg_catalog.array_agg(m.oid::int8)
    from pg_catalog.pg_roles as m
    where pg_catalog.pg_has_role(r.oid, m.oid, 'USAGE')
  ) as member_of,
  (
    select coalesce(pg_catalog.bool_or(w.ev_action::text like '%%[ 48 0 0 0 42 42 42 42 42 42 42 42 ]%%'), false)
    from pg_catalog.pg_rewrite as w
    where w.ev_class = 'pg_catalog.pg_roles'::pg_catalog.regclass
  ) as little_endian,
  p.polname::text,
  p.polpermissive,
  p.polcmd::text,
  p.polroles::int8[],
  p.polqual::text,
  pg_catalog.pg_get_expr(p.polqual, %(rows)s::oid)
from pg_catalog.pg_class as c
cross join pg_catalog.pg_roles as r
left join pg_catalog.pg_policy as p on p.polrelid = c.oid
where c.oid = %(relation)s::oid and r.rolname = %(role)s::text
order by p.polname
