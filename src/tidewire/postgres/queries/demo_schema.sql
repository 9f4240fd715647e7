-- A small booking business to watch: made once, kept between runs.
create schema if not exists demo;

create table if not exists demo.bookings (
  id bigint generated always as identity primary key,
  guest text not null,
  service text not null,
  price numeric(10, 2) not null,
  status text not null default 'pending' check (status in ('pending', 'confirmed', 'completed', 'cancelled')),
  created_at timestamptz not null default pg_catalog.now()
);

create table if not exists demo.payments (
  id bigint generated always as identity primary key,
  booking_id bigint not null references demo.bookings (id) on delete cascade,
  amount numeric(10, 2) not null,
  method text not null
);
