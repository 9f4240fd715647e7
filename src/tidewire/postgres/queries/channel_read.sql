-- Whether the reader sees one stored message: a row if so.
select true from realtime.messages as m where m.id = %(id)s::uuid and m.inserted_at = %(inserted_at)s::timestamp
