-- The table that benchmarks write: ten columns of common types, old rows complete.
create table bench (
  id bigint generated always as identity primary key,
  name text not null,
  note text not null,
  created_at timestamptz not null default clock_timestamp(),
  price numeric(12, 2) not null default 12.50,
  active boolean not null default true,
  token uuid not null default gen_random_uuid(),
  details jsonb not null default '{"colour": "green", "size": 12}',
  amount integer not null default 7,
  score double precision not null default 1.5
);

alter table bench replica identity full;

create publication bench for table bench;

-- Transactions in turn insert rows, update them and delete them: every kind of change, and the table stays small.
create procedure bench_write(transactions integer, rows_each integer)
language plpgsql as $$
begin
  for number in 0..transactions - 1 loop
    case number % 3
      when 0 then
        insert into bench (name, note)
        select 'name ' || n, 'a longer text with the number ' || n from generate_series(1, rows_each) as n;
      when 1 then
        update bench set amount = amount + 1, note = note || '!';
      else
        delete from bench;
    end case;
    commit;
  end loop;
end
$$;

-- Insert a row and commit, `rate` times a second for so long. Inside the server, so that no client competes for the CPU.
create procedure bench_pace(rate double precision, seconds double precision)
language plpgsql as $$
declare
  started constant timestamptz := clock_timestamp();
  elapsed double precision := 0;
  written bigint := 0;
begin
  while elapsed < seconds loop
    insert into bench (name, note) values ('name', 'a note of some length');
    commit;
    written := written + 1;
    elapsed := extract(epoch from clock_timestamp() - started);
    if elapsed < written / rate then
      perform pg_sleep(written / rate - elapsed);
      elapsed := extract(epoch from clock_timestamp() - started);
    end if;
  end loop;
end
$$;
