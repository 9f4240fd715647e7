-- Split table names as SQL would read them: lower case unless quoted.
select parse_ident(u.name) from unnest(%(names)s::text[]) as u (name)
