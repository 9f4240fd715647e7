-- Purpose: the oldest notification that nobody has read is read.
update tidewire_demo.notifications set read_at = pg_catalog.now()
where id = (select id from tidewire_demo.notifications where read_at is null order by id limit 1)
