-- The newest pending booking is cancelled.
update demo.bookings set status = 'cancelled'
where id = (select id from demo.bookings where status = 'pending' order by id desc limit 1)
