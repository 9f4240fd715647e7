-- Adds a signing key.
insert into auth.tidewire_signing_keys (kid, jwk) values (%(kid)s::text, %(jwk)s::jsonb)
