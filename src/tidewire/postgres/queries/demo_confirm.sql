-- The oldest pending booking is confirmed.
update demo.bookings set status = 'confirmed'
where id = (select id from demo.bookings where status = 'pending' order by id limit 1)
