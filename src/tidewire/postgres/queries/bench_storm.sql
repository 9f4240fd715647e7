-- What clients of the benchmarks of coming back follow: rows of their own, and a bystander's; and what writes them.
create function bench_user_id(number integer) returns uuid
language sql immutable as $$
  select (lpad(to_hex(number), 8, '0') || '-0000-4000-8000-' || lpad(to_hex(number), 12, '0'))::uuid
$$;

-- Rows are numbered by their marks, and belong to the users in turn.
create table bench_own (
  mark bigint primary key,
  user_id uuid not null,
  written_at timestamptz not null default clock_timestamp(),
  body text not null default 'a text of some forty characters, as usual'
);

-- Rows that everybody may see.
create table bench_bystander (
  mark bigint primary key,
  written_at timestamptz not null default clock_timestamp()
);

-- Rows that come a million at once, by a statement.
create table bench_bulk (
  mark bigint primary key,
  body text not null
);

-- The same by an import, into a table as applications have them.
create table bench_tenants (
  id integer primary key,
  name text not null
);
insert into bench_tenants select id, 'tenant ' || id from generate_series(0, 99) as id;
create table bench_import (
  mark bigint primary key,
  tenant_id integer not null references bench_tenants,
  body text not null
);
create index on bench_import (tenant_id);

alter table bench_own enable row level security;
create policy own on bench_own for select to authenticated using (auth.uid() = user_id);
alter table bench_bystander enable row level security;
create policy everybody on bench_bystander for select to authenticated using (true);
alter table bench_bulk enable row level security;
create policy everybody on bench_bulk for select to authenticated using (true);
alter table bench_import enable row level security;
create policy everybody on bench_import for select to authenticated using (true);
grant select on bench_own, bench_bystander, bench_bulk, bench_import to authenticated;
alter publication supabase_realtime add table bench_own, bench_bystander, bench_bulk, bench_import;

-- Writers go on for as long as there is a row.
create table bench_writing ();

create procedure bench_write_own(rate double precision, rows_each integer, users integer)
language plpgsql as $$
declare
  started constant timestamptz := clock_timestamp();
  number bigint := 0;
begin
  while exists (select from bench_writing) loop
    insert into bench_own (mark, user_id)
    select mark, bench_user_id((mark % users)::integer)
    from generate_series(number * rows_each, (number + 1) * rows_each - 1) as mark;
    commit;
    number := number + 1;
    perform pg_sleep(number / rate - extract(epoch from clock_timestamp() - started));
  end loop;
end
$$;

create procedure bench_write_bystander(rate double precision)
language plpgsql as $$
declare
  started constant timestamptz := clock_timestamp();
  number bigint := 0;
begin
  while exists (select from bench_writing) loop
    insert into bench_bystander (mark) values (number);
    commit;
    number := number + 1;
    perform pg_sleep(number / rate - extract(epoch from clock_timestamp() - started));
  end loop;
end
$$;

-- So many rows for each of some users in turn, in transactions of ten.
create procedure bench_write_missed(first bigint, each integer, first_user integer, users integer)
language plpgsql as $$
declare
  last constant bigint := first + each::bigint * users - 1;
begin
  while first <= last loop
    insert into bench_own (mark, user_id)
    select mark, bench_user_id((first_user + mark % users)::integer)
    from generate_series(first, least(first + 9, last)) as mark;
    commit;
    first := first + 10;
  end loop;
end
$$;
