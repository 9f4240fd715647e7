-- Names of a table's primary key columns.
select a.attname::text
from pg_catalog.pg_index as i
join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
where i.indrelid = %(relation)s::oid and i.indisprimary
