-- Deletes signing keys that nobody needs any more.
delete from auth.tidewire_signing_keys as k where k.kid = any (%(kids)s::text[])
