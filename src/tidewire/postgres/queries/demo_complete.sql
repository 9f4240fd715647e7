-- The oldest confirmed booking is completed and paid for, in one transaction.
with done as (
  update demo.bookings set status = 'completed'
  where id = (select id from demo.bookings where status = 'confirmed' order by id limit 1)
  returning id, price
)
insert into demo.payments (booking_id, amount, method) select id, price, %(method)s from done
