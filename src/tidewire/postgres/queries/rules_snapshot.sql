-- What is visible now, and whether a transaction is still ending. One that has become visible goes on to tell other
-- sessions what they must forget of the catalog, and holds the lock on its number until it has.
select
  pg_catalog.pg_current_snapshot()::text,
  exists (
    select
    from pg_catalog.pg_locks as l
    where l.locktype = 'transactionid' and l.granted and l.transactionid = %(xid)s::text::pg_catalog.xid
  )
