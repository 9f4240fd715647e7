-- Prepares a transaction in which policies on messages are asked: what they read, and how long one of them may take.
select
  pg_catalog.set_config('statement_timeout', %(limit_ms)s, true),
  pg_catalog.set_config('realtime.topic', %(topic)s, true),
  pg_catalog.set_config('request.jwt.claims', %(claims)s, true),
  pg_catalog.set_config('request.jwt.claim.sub', %(subject)s, true),
  pg_catalog.set_config('request.jwt.claim.role', %(role)s, true),
  pg_catalog.set_config('request.headers', '{}', true)
