-- The epoch of a durable slot, and whether its slot was really made.
select epoch, state from realtime.tidewire_slots where slot_name = %(slot)s
