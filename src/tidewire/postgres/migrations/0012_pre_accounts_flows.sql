-- Purpose: what accounts need besides users and sessions: codes that a link leads back with, and counts of failed sign-ins.
-- Only where the tables of accounts are ours. Readers get no privilege at all.

do $$
declare
  made text;
begin
  if pg_catalog.to_regclass('auth.tidewire_signing_keys') is null then
    return;
  end if;

  create table auth.flow_state (
    id uuid primary key default pg_catalog.gen_random_uuid(),
    user_id uuid not null references auth.users (id) on delete cascade,
    token_type text not null,
    link_hash text unique,
    code_challenge text not null,
    auth_code text unique,
    auth_code_issued_at timestamptz,
    created_at timestamptz not null default pg_catalog.now(),
    updated_at timestamptz not null default pg_catalog.now(),
    -- Like the links themselves: a new one for the same purpose takes the place of the one before.
    unique (user_id, token_type)
  );
  comment on table auth.flow_state is
    'Links whose answer is a code, which only the client that asked for the link can exchange. Hashes only.';

  create table auth.tidewire_attempts (
    key bytea primary key,
    failures integer not null,
    last_at timestamptz not null
  );
  comment on table auth.tidewire_attempts is
    'Failed sign-ins, by a hash of the account, or of account and network address. Delete a row to unlock.';
  -- Each attempt deletes rows that are too old to count.
  create index tidewire_attempts_last_at_index on auth.tidewire_attempts (last_at);

  foreach made in array array['flow_state', 'tidewire_attempts'] loop
    execute pg_catalog.format('alter table auth.%I enable row level security', made);
    -- Default privileges of the schema may have handed out more than nothing.
    execute pg_catalog.format('revoke all on auth.%I from public, anon, authenticated, service_role', made);
  end loop;
end
$$;
