-- Purpose: a year of believable bookings up to the day in the setting tidewire_demo.today; the same for the same day.
-- Chance is a hash of a number and a word, so it does not depend on the version or the plan of Postgres.

create function pg_temp.chance(n bigint, what text) returns double precision
  language sql immutable
  return (('x' || substr(md5(what || n), 1, 8))::bit(32)::bigint) / 4294967296.0;
create function pg_temp.one_of(list text[], n bigint, what text) returns text
  language sql immutable
  return list[1 + floor(pg_temp.chance(n, what) * array_length(list, 1))::integer];
create function pg_temp.today() returns timestamptz
  language sql stable
  return current_setting('tidewire_demo.today')::date::timestamp at time zone 'UTC';

insert into tidewire_demo.tenants values ('marea', 'Marea'), ('sierra', 'Sierra');

-- 240 customers and 20 professionals in each tenant; nobody is called like that.
insert into tidewire_demo.users (id, tenant, name, kind, place, created_at)
select
  md5('user ' || n)::uuid,
  case when n % 2 = 1 then 'marea' else 'sierra' end,
  (array['Alba', 'Bruno', 'Celia', 'Dario', 'Elba', 'Fermín', 'Greta', 'Hugo', 'Irma', 'Jano', 'Kira', 'Lino', 'Mina',
    'Nuno', 'Olga', 'Pío', 'Quima', 'Rita', 'Saúl', 'Tula', 'Ugo', 'Vera', 'Walo', 'Yara', 'Zoe', 'Ada'])[1 + (n * 7) % 26]
    || ' ' ||
  (array['Nube', 'Farol', 'Duna', 'Brisa', 'Pradera', 'Rocío', 'Faro', 'Lumbre', 'Arena', 'Cometa', 'Niebla', 'Sauce',
    'Trueno', 'Orilla', 'Musgo', 'Granizo', 'Bahía', 'Helecho', 'Alud', 'Vereda', 'Estela'])[1 + (n / 2 + n / 26) % 21],
  case when n <= 40 then 'professional' else 'customer' end,
  case when n <= 40 then (n + 1) / 2 else (n - 39) / 2 end,
  pg_temp.today() - interval '400 days' + interval '1 day' * floor(380 * pg_temp.chance(n, 'joined'))
from generate_series(1, 520) n;

-- Whose windows can be opened: one side of a booking, the other one, the desk that sees all of a tenant, and a stranger.
insert into tidewire_demo.users (id, tenant, name, kind, place, created_at)
select md5('user desk ' || t.id)::uuid, t.id, case t.id when 'marea' then 'Dora Faro' else 'Cleo Duna' end, 'desk', 1,
  pg_temp.today() - interval '400 days'
from tidewire_demo.tenants t;
update tidewire_demo.users u
set name = p.name, handle = p.handle, created_at = pg_temp.today() - interval '390 days'
from (values
  ('marea', 'customer', 'Ana Nube', 'ana'),
  ('marea', 'professional', 'Ben Farol', 'ben'),
  ('sierra', 'desk', 'Cleo Duna', 'cleo'),
  ('marea', 'desk', 'Dora Faro', 'dora')
) p (tenant, kind, name, handle)
where (u.tenant, u.kind, u.place) = (p.tenant, p.kind, 1);

insert into tidewire_demo.professionals (id, tenant, name, service, price_cop, created_at)
select u.id, u.tenant, u.name, s.service, s.price_cop, u.created_at
from tidewire_demo.users u
join (values
  (0, 'Guitar lesson', 60000), (1, 'Massage', 95000), (2, 'Haircut', 45000), (3, 'Gardening', 80000),
  (4, 'Bike repair', 55000), (5, 'Portrait photos', 160000), (6, 'Yoga lesson', 50000), (7, 'Home cleaning', 70000),
  (8, 'Piano tuning', 120000), (9, 'Dog walking', 30000)
) s (place, service, price_cop) on s.place = u.place % 10
where u.kind = 'professional';

-- More of them towards the end of the year; the first of each kind gets the most. About one in twenty is still to come.
create temporary table wishes on commit drop as
select
  n,
  case when n % 5 < 3 then 'marea' else 'sierra' end as tenant,
  1 + floor(240 * pg_temp.chance(n, 'customer') ^ 1.2)::integer as customer_place,
  1 + floor(20 * pg_temp.chance(n, 'professional') ^ 1.6)::integer as professional_place,
  pg_temp.today() + interval '1 day' * (6 - floor(370 * (1 - pg_temp.chance(n, 'day') ^ 0.7)))
    + interval '15 minutes' * (32 + floor(44 * pg_temp.chance(n, 'hour'))) as starts_at
from generate_series(1, 6000) n;

insert into tidewire_demo.bookings (
  id, tenant, customer_id, professional_id, customer, professional, service, status, total_price_cop, starts_at,
  created_at, updated_at
)
select
  row_number() over (order by booked.created_at, booked.n),
  booked.tenant, c.id, p.id, c.name, p.name, p.service, booked.status, p.price_cop, booked.starts_at,
  booked.created_at,
  case booked.status
    when 'pending' then booked.created_at
    when 'completed' then booked.starts_at + interval '1 hour'
    else booked.created_at + (least(booked.starts_at, pg_temp.today()) - booked.created_at) / 3
  end
from (
  select
    w.*,
    least(w.starts_at, pg_temp.today()) - interval '1 hour' * (1 + 200 * pg_temp.chance(w.n, 'lead')) as created_at,
    case
      when w.starts_at >= pg_temp.today()
        then case when pg_temp.chance(w.n, 'status') < 0.4 then 'pending' else 'confirmed' end
      when pg_temp.chance(w.n, 'status') < 0.12 then 'cancelled'
      else 'completed'
    end as status
  from wishes w
) booked
join tidewire_demo.users c
  on (c.tenant, c.kind, c.place) = (booked.tenant, 'customer', booked.customer_place)
join tidewire_demo.users u
  on (u.tenant, u.kind, u.place) = (booked.tenant, 'professional', booked.professional_place)
join tidewire_demo.professionals p on p.id = u.id;
select setval(pg_get_serial_sequence('tidewire_demo.bookings', 'id'), max(id)) from tidewire_demo.bookings;

insert into tidewire_demo.reviews (booking_id, tenant, professional_id, stars, words, created_at)
select
  b.id, b.tenant, b.professional_id,
  5 - floor(3 * pg_temp.chance(b.id, 'stars') ^ 3)::integer,
  pg_temp.one_of(array['Just right.', 'On time and kind.', 'I will come back.', 'Good, a little late.', 'Splendid.'],
    b.id, 'words'),
  b.updated_at + interval '1 day' * pg_temp.chance(b.id, 'reviewed')
from tidewire_demo.bookings b
where b.status = 'completed' and pg_temp.chance(b.id, 'review') < 0.55;

insert into tidewire_demo.disputes (
  booking_id, tenant, customer_id, professional_id, reason, status, created_at, settled_at
)
select
  b.id, b.tenant, b.customer_id, b.professional_id,
  pg_temp.one_of(array['nobody came', 'charged twice', 'far too late', 'not what was agreed'], b.id, 'reason'),
  case when b.updated_at < pg_temp.today() - interval '10 days' then 'settled' else 'open' end,
  b.updated_at + interval '3 hours',
  case when b.updated_at < pg_temp.today() - interval '10 days' then b.updated_at + interval '2 days' end
from tidewire_demo.bookings b
where b.status = 'completed' and pg_temp.chance(b.id, 'dispute') < 0.015
order by b.id;

insert into tidewire_demo.notifications (booking_id, user_id, title, created_at, read_at)
select b.id, b.customer_id, format('%s has confirmed %s', b.professional, b.service), b.updated_at,
  b.updated_at + interval '20 minutes'
from tidewire_demo.bookings b
where b.status in ('confirmed', 'completed')
order by b.id;
