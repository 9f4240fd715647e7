-- Everything read in this transaction is of one moment, and every name is written with its schema.
set transaction isolation level repeatable read, read only;
set local search_path = '';
-- A view is looked into under a lock, and somebody may be at work on it for long.
set local lock_timeout = '1s'
