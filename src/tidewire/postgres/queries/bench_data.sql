-- The table that clients of the data API read and write in its benchmark: ten thousand rows of a hundred users.
create table bench_tasks (
  id bigint primary key,
  owner uuid not null default auth.uid(),
  status text not null,
  title text not null default 'a text of some forty characters, as usual',
  amount numeric(10, 2) not null default 12.5,
  made_at timestamptz not null default now()
);

create index bench_tasks_owner on bench_tasks (owner, status, id);
grant select, insert on bench_tasks to authenticated;
alter table bench_tasks enable row level security;
create policy own on bench_tasks for all to authenticated using ((select auth.uid()) = owner);

insert into bench_tasks (id, owner, status)
select
  n,
  ('00000000-0000-4000-8000-' || lpad((n % 100)::text, 12, '0'))::uuid,
  case when n / 100 % 4 = 0 then 'done' else 'open' end
from generate_series(0, 9999) as n;

analyze bench_tasks
