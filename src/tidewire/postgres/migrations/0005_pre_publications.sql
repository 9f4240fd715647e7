-- Purpose: the publications supabase_realtime (filled by `tidewire publish`) and the one of realtime.messages.
-- Partitioned tables are published under the parent's name. A publication that exists keeps its tables; one that
-- somebody else owns is not touched.

do $$
declare
  wanted text;
  publication record;
begin
  foreach wanted in array array['supabase_realtime', 'supabase_realtime_messages_publication'] loop
    if not exists (select from pg_catalog.pg_publication p where p.pubname = wanted) then
      execute pg_catalog.format('create publication %I', wanted);
    end if;

    select p.puballtables, pg_catalog.pg_has_role(p.pubowner, 'USAGE') as mine
    into publication
    from pg_catalog.pg_publication p
    where p.pubname = wanted;
    continue when not publication.mine;

    execute pg_catalog.format('alter publication %I set (publish_via_partition_root = true)', wanted);
    if current_setting('server_version_num')::integer >= 180000 then
      execute pg_catalog.format('alter publication %I set (publish_generated_columns = stored)', wanted);
    end if;

    if wanted = 'supabase_realtime_messages_publication'
      and not publication.puballtables
      and exists (
        select from pg_catalog.pg_class c
        where c.oid = 'realtime.messages'::pg_catalog.regclass
          and pg_catalog.pg_has_role(c.relowner, 'USAGE')
          and not exists (
            select from pg_catalog.pg_publication_rel r
            join pg_catalog.pg_publication p on p.oid = r.prpubid
            where p.pubname = wanted and r.prrelid = c.oid
          )
      )
    then
      execute pg_catalog.format('alter publication %I add table realtime.messages', wanted);
    end if;
  end loop;
end
$$;
