-- Whether a partition numbers its columns as the table does that it belongs to: expressions name them by number.
select
  not exists (
    select a.attnum, a.attname, a.atttypid, a.atttypmod
    from pg_catalog.pg_attribute as a
    where a.attrelid = %(through)s::oid and a.attnum > 0 and not a.attisdropped
    except
    select a.attnum, a.attname, a.atttypid, a.atttypmod
    from pg_catalog.pg_attribute as a
    where a.attrelid = %(relation)s::oid and a.attnum > 0 and not a.attisdropped
  )
