-- Purpose: of the confirmed bookings of a tenant the one that begins first is done.
update tidewire_demo.bookings set status = 'completed', clicked_at = null
where id = (
  select id from tidewire_demo.bookings
  where status = 'confirmed' and tenant = %(tenant)s and clicked_at is null
  order by starts_at, id limit 1
)
