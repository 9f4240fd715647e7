-- Purpose: read a table name as Postgres reads it: quoted parts kept, everything else in small letters.
select pg_catalog.parse_ident(%(name)s)
