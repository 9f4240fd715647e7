-- Purpose: what the service remembers about its replication slots. Nobody else reads or writes it.

create table realtime.tidewire_slots (
  slot_name text primary key,
  epoch text not null,
  state text not null check (state in ('pending', 'ready')),
  created_at timestamptz not null default pg_catalog.now()
);

comment on table realtime.tidewire_slots is
  'The unbroken history (epoch) that each replication slot of Tidewire carries.';

revoke all on realtime.tidewire_slots from public, anon, authenticated, service_role;
