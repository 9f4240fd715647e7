-- All signing keys.
select k.kid, k.jwk::text, extract(epoch from k.made_at)::float8 from auth.tidewire_signing_keys as k limit 100
