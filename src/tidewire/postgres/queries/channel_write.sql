-- Tries to write to a private topic. The caller rolls it back.
insert into realtime.messages (topic, extension, private) values (%(topic)s::text, %(extension)s::text, true)
