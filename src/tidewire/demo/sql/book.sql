-- Purpose: a customer books a professional of the same tenant, for within the hour.
insert into tidewire_demo.bookings (customer_id, professional_id, starts_at)
select c.id, p.id, pg_catalog.now() + interval '1 minute' * %(minutes)s
from tidewire_demo.users c
join tidewire_demo.users p on p.tenant = c.tenant and p.kind = 'professional' and p.place = %(professional)s
where (c.tenant, c.kind, c.place) = (%(tenant)s, 'customer', %(customer)s)
