-- A guest books a service.
insert into demo.bookings (guest, service, price) values (%(guest)s, %(service)s, %(price)s)
