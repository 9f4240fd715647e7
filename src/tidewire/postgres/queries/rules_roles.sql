-- One text that changes whenever a role comes, goes, or may see something else because of what it is or belongs to.
select
  pg_catalog.concat_ws(
    ' ',
    (
      select pg_catalog.sum(
        pg_catalog.hashtextextended(
          pg_catalog.jsonb_build_array(r.oid, r.rolname, r.rolsuper, r.rolbypassrls, r.rolinherit)::text, 0
        )
      )
      from pg_catalog.pg_roles as r
    ),
    (
      select pg_catalog.sum(
        pg_catalog.hashtextextended(
          -- not before 16
          pg_catalog.jsonb_build_array(m.roleid, m.member, pg_catalog.to_jsonb(m) -> 'inherit_option')::text, 0
        )
      )
      from pg_catalog.pg_auth_members as m
    )
  )
