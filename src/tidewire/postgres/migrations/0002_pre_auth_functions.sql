-- Purpose: auth.jwt(), auth.uid(), auth.role() and auth.email(), which tell a policy who is asking.
-- The asker's claims stand in the setting request.jwt.claims (JSON); older gateways set one request.jwt.claim.* each.
-- The bodies are parsed here, once, so no search_path can redirect them, and the planner can still inline them.
-- Functions that exist already (an auth service brings its own) are left alone.

do $$
begin
  if pg_catalog.to_regprocedure('auth.jwt()') is null then
    create function auth.jwt() returns jsonb
      language sql stable parallel safe
      return nullif(current_setting('request.jwt.claims', true), '')::jsonb;
    comment on function auth.jwt() is 'The claims of whoever is asking, or null.';
  end if;

  if pg_catalog.to_regprocedure('auth.uid()') is null then
    create function auth.uid() returns uuid
      language sql stable parallel safe
      return coalesce(
        nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', ''),
        nullif(current_setting('request.jwt.claim.sub', true), '')
      )::uuid;
    comment on function auth.uid() is 'The user id of whoever is asking, or null.';
  end if;

  if pg_catalog.to_regprocedure('auth.role()') is null then
    create function auth.role() returns text
      language sql stable parallel safe
      return coalesce(
        nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role', ''),
        nullif(current_setting('request.jwt.claim.role', true), '')
      );
    comment on function auth.role() is 'The role claim of whoever is asking, or null.';
  end if;

  if pg_catalog.to_regprocedure('auth.email()') is null then
    create function auth.email() returns text
      language sql stable parallel safe
      return coalesce(
        nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email', ''),
        nullif(current_setting('request.jwt.claim.email', true), '')
      );
    comment on function auth.email() is 'The e-mail address of whoever is asking, or null.';
  end if;
end
$$;
