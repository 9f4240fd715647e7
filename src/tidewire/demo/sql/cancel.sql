-- Purpose: the newest booking of a tenant that waits for an answer is cancelled, unless a person made it.
update tidewire_demo.bookings set status = 'cancelled', clicked_at = null
where id = (
  select id from tidewire_demo.bookings
  where status = 'pending' and tenant = %(tenant)s and clicked_at is null
  order by id desc limit 1
)
