-- The functions of the exposed schemas that can be called by name, with their inputs. Triggers are called by tables only.
select
  n.nspname::text as schema,
  p.proname::text as name,
  coalesce(taken.arguments, '[]') as arguments,
  pg_catalog.format_type(p.prorettype, -1) as returns,
  p.proretset as returns_set,
  rn.nspname::text as returns_table_schema,
  rc.relname::text as returns_table_name,
  case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end as volatility,
  p.prorettype = 'pg_catalog.void'::pg_catalog.regtype as is_void
from pg_catalog.pg_proc as p
join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
join pg_catalog.pg_type as r on r.oid = p.prorettype
left join pg_catalog.pg_class as rc on rc.oid = r.typrelid and rc.relkind <> 'c'
left join pg_catalog.pg_namespace as rn on rn.oid = rc.relnamespace
left join lateral (
  select
    pg_catalog.json_agg(
      pg_catalog.json_build_array(
        coalesce(p.proargnames[input.place], ''),
        pg_catalog.format_type(input.type, -1),
        input.nth > p.pronargs - p.pronargdefaults,
        coalesce(p.proargmodes[input.place] = 'v', false)
      )
      order by input.place
    ) as arguments
  from (
    select a.type, a.place, pg_catalog.row_number() over (order by a.place) as nth
    from pg_catalog.unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality as a (type, place)
    where p.proargmodes is null or p.proargmodes[a.place] in ('i', 'b', 'v')
  ) as input
) as taken on true
where
  n.nspname = any (%(schemas)s::text[])
  and p.prokind = 'f'
  and p.prorettype not in ('pg_catalog.trigger'::pg_catalog.regtype, 'pg_catalog.event_trigger'::pg_catalog.regtype)
order by 1, 2, p.oid
