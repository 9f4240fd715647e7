-- Purpose: the customer of the newest completed booking of a tenant disputes it, and the professional is told.
with disputed as (
  insert into tidewire_demo.disputes (booking_id, tenant, customer_id, professional_id, reason)
  select b.id, b.tenant, b.customer_id, b.professional_id, %(reason)s
  from tidewire_demo.bookings b
  where b.status = 'completed' and b.tenant = %(tenant)s
    and not exists (select from tidewire_demo.disputes d where d.booking_id = b.id)
  order by b.id desc limit 1
  returning booking_id, professional_id, reason
)
insert into tidewire_demo.notifications (booking_id, user_id, title)
select booking_id, professional_id, 'Disputed: ' || reason from disputed
