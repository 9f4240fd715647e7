-- Takes the reader's place until the transaction ends.
select pg_catalog.set_config('role', %(role)s, true)
