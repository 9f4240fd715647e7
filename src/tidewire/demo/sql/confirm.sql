-- Purpose: the booking that has waited longest in a tenant is confirmed; those that a person made wait for a person.
update tidewire_demo.bookings set status = 'confirmed', clicked_at = null
where id = (
  select id from tidewire_demo.bookings
  where status = 'pending' and tenant = %(tenant)s and clicked_at is null
  order by id limit 1
)
