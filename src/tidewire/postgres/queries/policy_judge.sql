-- What a question answers in each session, in order; fewer rows than sessions when it was time to pause.
select judged.answer, judged.failure
from realtime.tidewire_judge(
  %(reader)s::text, %(question)s::text, %(settings)s::text[], %(sessions)s::text[], %(arguments)s::text[],
  %(pause_ms)s::integer
) as judged
