-- Purpose: the dispute that has been open longest in a tenant is settled, and the customer is told.
with settled as (
  update tidewire_demo.disputes set status = 'settled', settled_at = pg_catalog.now()
  where id = (
    select id from tidewire_demo.disputes where status = 'open' and tenant = %(tenant)s order by id limit 1
  )
  returning booking_id, customer_id
)
insert into tidewire_demo.notifications (booking_id, user_id, title)
select booking_id, customer_id, 'Your dispute is settled' from settled
