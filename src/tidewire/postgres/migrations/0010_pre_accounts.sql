-- Purpose: who may sign in: users, identities, sessions, refresh tokens, one-time codes and signing keys.
-- Names and columns are those that tools for auth services read. Where an auth service has made auth.users already, and
-- where whoever migrates may create nothing in auth, nothing is made: there the setting `accounts` has to be off.
-- Readers get no privilege at all: only the server looks into these tables.

do $$
declare
  made text;
begin
  if pg_catalog.to_regclass('auth.users') is not null
    or not pg_catalog.has_schema_privilege(current_user, 'auth', 'CREATE')
  then
    return;
  end if;

  create table auth.users (
    id uuid primary key,
    instance_id uuid,
    aud text not null default 'authenticated',
    role text not null default 'authenticated',
    email text,
    encrypted_password text,
    email_confirmed_at timestamptz,
    confirmed_at timestamptz generated always as (email_confirmed_at) stored,
    invited_at timestamptz,
    confirmation_sent_at timestamptz,
    recovery_sent_at timestamptz,
    email_change text,
    email_change_sent_at timestamptz,
    last_sign_in_at timestamptz,
    raw_app_meta_data jsonb not null default '{}',
    raw_user_meta_data jsonb not null default '{}',
    is_super_admin boolean,
    phone text unique,
    phone_confirmed_at timestamptz,
    banned_until timestamptz,
    is_sso_user boolean not null default false,
    is_anonymous boolean not null default false,
    deleted_at timestamptz,
    created_at timestamptz not null default pg_catalog.now(),
    updated_at timestamptz not null default pg_catalog.now(),
    -- Both are part of every token, which must stay below what servers read.
    constraint users_metadata_size check (
      pg_catalog.octet_length(raw_app_meta_data::text) <= 4096
      and pg_catalog.octet_length(raw_user_meta_data::text) <= 4096
    )
  );
  comment on table auth.users is 'Who may sign in. Passwords are argon2id hashes. Your tables may refer to id.';
  -- Lower case is how addresses are stored; the index holds whoever writes into the table to it as well.
  create unique index users_email_key on auth.users (pg_catalog.lower(email)) where not is_sso_user;
  create index users_created_at_id_index on auth.users (created_at, id);

  create table auth.identities (
    id uuid primary key default pg_catalog.gen_random_uuid(),
    provider_id text not null,
    user_id uuid not null references auth.users (id) on delete cascade,
    identity_data jsonb not null,
    provider text not null,
    email text generated always as (pg_catalog.lower(identity_data ->> 'email')) stored,
    last_sign_in_at timestamptz,
    created_at timestamptz not null default pg_catalog.now(),
    updated_at timestamptz not null default pg_catalog.now(),
    unique (provider_id, provider)
  );
  comment on table auth.identities is 'The ways in which a user may sign in; e-mail and password is one of them.';
  create index identities_user_id_index on auth.identities (user_id);

  create table auth.sessions (
    id uuid primary key,
    user_id uuid not null references auth.users (id) on delete cascade,
    created_at timestamptz not null default pg_catalog.now(),
    updated_at timestamptz not null default pg_catalog.now(),
    refreshed_at timestamptz not null default pg_catalog.now(),
    not_after timestamptz,
    aal text not null default 'aal1',
    method text not null,
    refresh_token_key bytea not null,
    user_agent text,
    ip inet,
    tag text
  );
  comment on table auth.sessions is 'Who is signed in, and where. Delete a row to sign somebody out.';
  comment on column auth.sessions.refresh_token_key is 'Derives each refresh token of the session from the one before.';
  create index sessions_user_id_created_at_index on auth.sessions (user_id, created_at);

  create table auth.refresh_tokens (
    id bigint primary key generated always as identity,
    token text not null unique,
    user_id uuid not null references auth.users (id) on delete cascade,
    session_id uuid not null references auth.sessions (id) on delete cascade,
    parent text,
    revoked boolean not null default false,
    created_at timestamptz not null default pg_catalog.now(),
    updated_at timestamptz not null default pg_catalog.now()
  );
  comment on table auth.refresh_tokens is 'Hashes of refresh tokens. A revoked one was exchanged for its successor.';
  create index refresh_tokens_session_id_index on auth.refresh_tokens (session_id);
  create index refresh_tokens_user_id_index on auth.refresh_tokens (user_id);

  create table auth.one_time_tokens (
    id uuid primary key default pg_catalog.gen_random_uuid(),
    user_id uuid not null references auth.users (id) on delete cascade,
    token_type text not null,
    token_hash text not null unique,
    code_hash text not null,
    relates_to text not null,
    attempts integer not null default 0,
    created_at timestamptz not null default pg_catalog.now(),
    updated_at timestamptz not null default pg_catalog.now(),
    unique (user_id, token_type)
  );
  comment on table auth.one_time_tokens is 'Hashes of the links and codes that are on their way by e-mail.';

  create table auth.tidewire_signing_keys (
    kid text primary key,
    jwk jsonb not null,
    made_at timestamptz not null default pg_catalog.now()
  );
  comment on table auth.tidewire_signing_keys is 'Private keys that tokens are signed with. Whoever reads them is anybody.';

  foreach made in array array[
    'users', 'identities', 'sessions', 'refresh_tokens', 'one_time_tokens', 'tidewire_signing_keys'
  ] loop
    execute pg_catalog.format('alter table auth.%I enable row level security', made);
    -- Default privileges of the schema may have handed out more than nothing.
    execute pg_catalog.format('revoke all on auth.%I from public, anon, authenticated, service_role', made);
  end loop;
end
$$;
