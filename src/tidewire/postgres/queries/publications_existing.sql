-- Which of the wanted publications exist.
select pubname::text from pg_catalog.pg_publication where pubname = any (%(names)s) order by pubname
