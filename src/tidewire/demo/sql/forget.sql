-- Purpose: the oldest bookings go, with all that belongs to them, so that a demo left running stays small.
delete from tidewire_demo.bookings
where id in (
  select id from tidewire_demo.bookings
  where id <= (select pg_catalog.max(id) from tidewire_demo.bookings) - %(kept)s
  order by id limit 50
)
