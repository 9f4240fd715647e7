-- Tables that readers of the benchmark follow under policies, what writes to them, and a check of each by itself.
create function bench_user_id(reader integer) returns uuid
language sql immutable as $$
  select (lpad(to_hex(reader), 8, '0') || '-0000-4000-8000-' || lpad(to_hex(reader), 12, '0'))::uuid
$$;

-- Whoever follows, as an access token says it.
create table bench_readers (
  number integer primary key,
  claims text not null
);

insert into bench_readers (number, claims)
select n, jsonb_build_object('role', 'authenticated', 'sub', bench_user_id(n), 'exp', 2000000000)
from generate_series(0, 9999) as n;

-- Each row belongs to one user.
create table bench_own (
  id bigint generated always as identity (start with 1000001) primary key,
  user_id uuid not null,
  mark bigint not null,
  body text not null default 'a text of some forty characters, as usual'
);

alter table bench_own enable row level security;
create policy own on bench_own for select to authenticated using (auth.uid() = user_id);

-- One row for each user that there can be, to be updated.
insert into bench_own (id, user_id, mark) overriding system value
select n + 1, bench_user_id(n), 0 from generate_series(0, 9999) as n;

-- Each row belongs to a team, and each user is a member of two.
create table bench_members (
  team_id integer not null,
  user_id uuid not null,
  primary key (user_id, team_id)
);

insert into bench_members (team_id, user_id)
select n % 200, bench_user_id(n) from generate_series(0, 999) as n
union all
select (n + 1 + n / 200 % 199) % 200, bench_user_id(n) from generate_series(0, 999) as n;

create table bench_posts (
  id bigint generated always as identity primary key,
  team_id integer not null,
  mark bigint not null,
  body text not null default 'a text of some forty characters, as usual'
);

alter table bench_members enable row level security;
create policy own on bench_members for select to authenticated using (auth.uid() = user_id);
alter table bench_posts enable row level security;
create policy team on bench_posts for select to authenticated using (
  exists (select 1 from bench_members as m where m.team_id = bench_posts.team_id and m.user_id = auth.uid())
);

-- The service role passes by all policies: that is how the benchmark itself is tested.
grant select on bench_own, bench_members, bench_posts to authenticated, service_role;
alter publication supabase_realtime add table bench_own, bench_posts;
analyze bench_own, bench_members, bench_readers;

-- Five rows inserted and five updated in each transaction, for the users in turn.
create procedure bench_write_own(first bigint, transactions integer, users integer)
language plpgsql as $$
begin
  for number in 1..transactions loop
    insert into bench_own (user_id, mark)
    select bench_user_id(((first + n) % users)::integer), first + n from generate_series(0, 4) as n;
    update bench_own set mark = first + n from generate_series(5, 9) as n
    where id = (first + n) % users + 1;
    commit;
    first := first + 10;
  end loop;
end
$$;

-- All of them inserted, for the teams in turn.
create procedure bench_write_posts(first bigint, transactions integer, rows_each integer, teams integer)
language plpgsql as $$
begin
  for number in 1..transactions loop
    insert into bench_posts (team_id, mark)
    select mark % teams, mark from generate_series(first, first + rows_each - 1) as mark;
    commit;
    first := first + rows_each;
  end loop;
end
$$;

-- For each row and each reader, become the reader and look whether the row can be seen; say how often it could, and in
-- how long. What needs doing once is done once: the statement is planned for all of them.
create function bench_check_each(target regclass, first bigint, row_count integer, reader_count integer)
returns table (rows_checked integer, seen bigint, seconds double precision)
language plpgsql as $$
declare
  ids bigint[];
  readers text[];
  claims text;
  look text;
  is_visible boolean;
  started timestamptz;
begin
  execute format('select array(select id from %s where mark >= $1 order by mark limit $2)', target)
    into ids using first, row_count;
  select array(select r.claims from bench_readers as r where number < reader_count order by number) into readers;
  execute format('prepare bench_look (bigint) as select true from %s where id = $1', target);
  rows_checked := cardinality(ids);
  seen := 0;
  started := clock_timestamp();
  for position in 1..rows_checked loop
    look := format('execute bench_look (%s)', ids[position]);
    foreach claims in array readers loop
      perform set_config('role', 'authenticated', true), set_config('request.jwt.claims', claims, true);
      execute look into is_visible;
      if is_visible then
        seen := seen + 1;
      end if;
    end loop;
  end loop;
  seconds := extract(epoch from clock_timestamp() - started);
  perform set_config('role', 'none', true);
  deallocate bench_look;
  return next;
end
$$;
