-- The table that subscribers of the benchmark follow, each by `user_id`, and what writes to it at full speed or at a pace.
create table bench_rows (
  id bigint generated always as identity (start with 1000001) primary key,
  user_id integer not null,
  stamp_us bigint not null,
  body text not null default 'a text of some forty characters, as usual'
);

grant select on bench_rows to anon;
alter publication supabase_realtime add table bench_rows;

-- One row for each user that there can be, to be updated.
insert into bench_rows (id, user_id, stamp_us) overriding system value
select n + 1, n, 0 from generate_series(0, 9999) as n;

create function bench_stamp_us() returns bigint
language sql volatile as $$
  select (extract(epoch from clock_timestamp()) * 1000000)::bigint
$$;

-- Five rows inserted and five updated in each transaction, for the users in turn.
create procedure bench_flood(transactions integer, users integer)
language plpgsql as $$
begin
  for number in 0..transactions - 1 loop
    insert into bench_rows (user_id, stamp_us)
    select (number * 10 + n) % users, bench_stamp_us() from generate_series(0, 4) as n;
    update bench_rows set stamp_us = bench_stamp_us()
    where id in (select (number * 10 + n) % users + 1 from generate_series(5, 9) as n);
    commit;
  end loop;
end
$$;

-- Insert so many rows, `rate` of them a second, each in a transaction of its own and with the time it was written.
create procedure bench_pace_rows(rate double precision, rows_all integer, users integer)
language plpgsql as $$
declare
  started constant timestamptz := clock_timestamp();
  early double precision;
begin
  for number in 0..rows_all - 1 loop
    early := number / rate - extract(epoch from clock_timestamp() - started);
    if early > 0 then
      perform pg_sleep(early);
    end if;
    insert into bench_rows (user_id, stamp_us) values (number % users, bench_stamp_us());
    commit;
  end loop;
end
$$;
