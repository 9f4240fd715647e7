-- Stores what a reader of a private topic could be shown, for the policies to judge. The caller rolls it back.
insert into realtime.messages (topic, extension, private)
select %(topic)s::text, asked.extension, true
from pg_catalog.unnest(%(extensions)s::text[]) as asked (extension)
returning extension, id, inserted_at
