-- Forgets the failures of an account and of one address at it.
delete from auth.tidewire_attempts as t where t.key in (%(account)s::bytea, %(pair)s::bytea)
