-- Everything read in this transaction is of one moment, and written so that it means the same in every session: nothing
-- is found in a search_path, so every name has its schema.
set transaction isolation level repeatable read, read only;
set local search_path = '';
-- Expressions are written down under a lock on their table; whoever holds it may do so for long.
set local lock_timeout = '1s'
