-- Record the epoch of a durable slot.
insert into realtime.tidewire_slots (slot_name, epoch, state)
values (%(slot)s, %(epoch)s, %(state)s)
on conflict (slot_name) do update set epoch = excluded.epoch, state = excluded.state, created_at = pg_catalog.now()
