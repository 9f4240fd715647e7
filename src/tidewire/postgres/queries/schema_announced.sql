-- Whether every change of tables, views and functions is announced in the log: both event triggers are there and on.
select count(*) = 2
from pg_catalog.pg_event_trigger
where evtname in ('tidewire_schema', 'tidewire_schema_dropped') and evtenabled in ('A', 'O')
