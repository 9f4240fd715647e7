"""Statements of the data API run as the caller's role and leave nothing of it behind, however they end."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.log import execute, fetch
from tests.support.postgres import MakeLogin
from tests.support.proxy import BreakableProxy
from tests.support.server import migrate
from tests.support.tables import open_pool, role_of
from tidewire.model.claims import Claims
from tidewire.model.errors import DatabaseUnreachable
from tidewire.postgres.data_runner import Caller, DataRunner, Row, Run
from tidewire.postgres.pool import Pool
from tidewire.query.errors import QueryError
from tidewire.query.statement import Statement

SUBJECT = "00000000-0000-4000-8000-00000000ada0"
NOTES = (
    "create table notes (id int primary key, body text)",
    "grant all on notes to anon, authenticated",
)


def caller(
    role: str = "authenticated", *, subject: str | None = SUBJECT, schema: str = "public", **claims: Any
) -> Caller:
    values = {"role": role, "sub": subject, **claims}
    return Caller(Claims(role, subject, math.inf, values), schema, "GET", "/notes", {"x-mine": "yes"})


@asynccontextmanager
async def runner_of(dsn: str, *, timeout_s: float = 5.0, size: int = 1) -> AsyncIterator[tuple[DataRunner, Pool]]:
    async with open_pool(dsn, size=size, query_timeout_s=timeout_s) as pool:
        yield DataRunner(pool, timeout_s=timeout_s), pool


@pytest.fixture
def migrated(any_migrated_database: str) -> str:
    execute(any_migrated_database, *NOTES)
    return any_migrated_database


def row(row: Row, _estimate: Row | None) -> tuple[str | None, ...]:
    return tuple(None if each is None else each.decode() for each in row)


def reading(text: str, *parameters: str) -> Run:
    return Run(Statement(text, parameters), writes=False)


def writing(text: str, *parameters: str, undone: bool = False, looked_at: bool = False) -> Run:
    return Run(Statement(text, parameters), writes=True, undone=undone, looked_at=looked_at)


ADD = "with added as (insert into public.notes values (%s::int, %s) returning 1) select count(*) from added"
COUNT = "select count(*) from notes"


async def refused(runner: DataRunner, run: Run, who: Caller | None = None) -> QueryError:
    with pytest.raises(QueryError) as caught:
        await runner.run(run, who or caller(), row)
    return caught.value


async def test_a_statement_sees_whose_it_is(migrated: str) -> None:
    asked = (
        "select current_user, auth.uid()::text, current_setting('request.jwt.claims'),"
        " current_setting('request.method'), current_setting('request.path'), current_setting('request.headers'),"
        " current_setting('transaction_read_only'), current_schemas(false)::text[]"
    )
    async with runner_of(migrated) as (runner, _):
        found = await runner.run(reading(asked), caller(team=7), row)
        assert found[:2] == ("authenticated", SUBJECT)
        assert json.loads(found[2] or "") == {"role": "authenticated", "sub": SUBJECT, "team": 7}
        assert found[3:5] == ("GET", "/notes")
        assert json.loads(found[5] or "") == {"x-mine": "yes"}
        assert found[6:] == ("on", "{public}")
        other = await runner.run(reading(asked), caller("anon", subject=None, schema='odd"name'), row)
        assert other[:2] == ("anon", None)


async def test_nothing_of_a_caller_remains(migrated: str) -> None:
    async with runner_of(migrated) as (runner, pool):
        await runner.run(writing(ADD, "1", "a"), caller(), row)
        await refused(runner, reading("select 1 / 0"))
        async with pool.connection("looking") as connection:
            found = await (
                await connection.execute(
                    "select current_user = session_user, current_setting('request.jwt.claims', true),"
                    " current_setting('request.headers', true), current_setting('search_path')"
                )
            ).fetchone()
    assert found is not None
    assert found[:3] == (True, "", "")
    assert found[3].startswith("pg_catalog")


async def test_reading_changes_nothing(migrated: str) -> None:
    async with runner_of(migrated) as (runner, _):
        error = await refused(runner, Run(Statement(ADD, ("1", "a")), writes=False))
        assert (error.status, error.code) == (405, "25006")
    assert fetch(migrated, COUNT) == 0


async def test_what_was_written_stays_or_not(migrated: str) -> None:
    def refuse(_row: Row, _estimate: Row | None) -> None:
        raise QueryError(406, "PGRST116", "no")

    async with runner_of(migrated) as (runner, _):
        await runner.run(writing(ADD, "1", "a"), caller(), row)
        await runner.run(writing(ADD, "2", "b", undone=True), caller(), row)
        await runner.run(writing(ADD, "3", "c", looked_at=True), caller(), row)
        with pytest.raises(QueryError, match="no"):
            await runner.run(writing(ADD, "4", "d", looked_at=True), caller(), refuse)
        assert await runner.run(reading("select array_agg(id order by id) from notes"), caller(), row) == ("{1,3}",)


async def test_an_estimate_comes_with_the_row(migrated: str) -> None:
    run = Run(
        Statement("select 1 where %s = 'x'", ("x",)),
        writes=False,
        estimate=Statement("explain (format json) select * from notes where body = %s", ("a",)),
    )
    async with runner_of(migrated) as (runner, _):
        found, plan = await runner.run(run, caller(), lambda row, estimate: (row, estimate))
    assert found == (b"1",)
    assert plan is not None
    assert json.loads(plan[0] or b"")[0]["Plan"]["Plan Rows"] >= 0


@pytest.mark.parametrize(
    ("run", "status", "code"),
    [
        (reading("select 1 / 0"), 400, "22012"),
        (reading("select %s::int", "x"), 400, "22P02"),
        (reading("select * from nowhere"), 404, "42P01"),
        (reading("select nothing()"), 404, "42883"),
        (reading("select (values (1), (2))"), 400, "21000"),
        (reading("select * from secrets"), 403, "42501"),
        (reading("select %s", "a\0b"), 400, "22021"),
        (reading("select %s", "\ud800"), 400, "22021"),
        (reading("select %s::jsonb", '{"a": "\\u0000"}'), 400, "22P05"),
        (writing(ADD, "0", "again"), 409, "23505"),
        (writing("insert into parts values (1, 9) returning 1"), 409, "23503"),
        (reading("select fail('P0001')"), 400, "P0001"),
        (reading("select fail('PT402')"), 402, "PT402"),
        (reading("select fail('XX000')"), 500, "XX000"),
    ],
    ids=lambda each: each.statement.text if isinstance(each, Run) else None,
)
async def test_refusals_have_the_status_that_fits(migrated: str, run: Run, status: int, code: str) -> None:
    execute(
        migrated,
        "create table secrets (id int)",
        "create table parts (id int, note int references notes deferrable initially deferred)",
        "grant all on parts to authenticated",
        "insert into notes values (0, 'there')",
        "create function fail(code text) returns void language plpgsql as"
        " $$ begin raise exception 'a reason' using errcode = code, detail = 'more', hint = 'so'; end $$",
    )
    async with runner_of(migrated) as (runner, _):
        error = await refused(runner, run)
        assert (error.status, error.code) == (status, code), error
        told = error.body()
        if "fail" in run.statement.text:
            expected = ("a reason", "more", "so") if status != 500 else (told["message"], None, None)
            assert (told["message"], told["details"], told["hint"]) == expected
            assert "a reason" not in told["message"] or status != 500
        assert (await runner.run(reading("select 1"), caller(), row)) == ("1",), "the connection goes on"
    assert fetch(migrated, COUNT) == 1
    assert fetch(migrated, "select count(*) from parts") == 0


async def test_who_is_nobody_is_asked_to_sign_in(migrated: str) -> None:
    execute(migrated, "create table secrets (id int)")
    async with runner_of(migrated) as (runner, _):
        error = await refused(runner, reading("select * from secrets"), caller("anon"))
        assert (error.status, error.code) == (401, "42501")
        error = await refused(runner, reading("select 1"), caller("nobody_at_all"))
        assert (error.status, error.code) == (401, "22023")
        for odd in (caller("a\0b"), caller(subject="\ud800")):
            assert (await refused(runner, reading("select 1"), odd)).status == 400


async def test_a_role_that_the_server_may_not_take_is_refused(migrated: str, make_login: MakeLogin) -> None:
    login = make_login(migrated)
    execute(migrated, f"grant anon to {role_of(login)}")
    async with runner_of(login) as (runner, _):
        assert await runner.run(reading("select current_user"), caller("anon"), row) == ("anon",)
        error = await refused(runner, reading("select 1"), caller("service_role"))
        assert (error.status, error.code) == (403, "42501")


async def test_a_statement_that_takes_too_long_is_stopped(migrated: str) -> None:
    async with runner_of(migrated, timeout_s=0.2) as (runner, pool):
        error = await refused(runner, reading("select pg_sleep(10)"))
        assert (error.status, error.code) == (500, "57014")
        async with pool.connection("looking") as connection:
            backend = connection.info.backend_pid
        assert await runner.run(reading("select pg_backend_pid()"), caller(), row) == (str(backend),)


@pytest.mark.parametrize("run", [reading("select 1"), writing(ADD, "1", "a"), writing(ADD, "2", "b", undone=True)])
async def test_it_takes_one_round_trip(migrated: str, tmp_path: Path, run: Run) -> None:
    async with runner_of(migrated) as (runner, pool):
        async with pool.connection("looking") as connection:
            traced = connection.pgconn
        with (tmp_path / "trace").open("w+") as trace:
            traced.trace(trace.fileno())
            await runner.run(run, caller(), row)
            traced.untrace()
            trace.seek(0)
            ends = [line for line in trace if "\tReadyForQuery" in line]
    assert len(ends) == 1, "Postgres was asked, and waited for, once"


async def test_plans_are_kept_by_the_connection(migrated: str) -> None:
    asked = "select count(*) from notes where id = %s::int"
    async with runner_of(migrated) as (runner, pool):
        for number in range(4):
            await runner.run(reading(asked, str(number)), caller("anon" if number % 2 else "authenticated"), row)
        async with pool.connection("looking") as connection:
            found = await (
                await connection.execute(
                    "select count(*) from pg_prepared_statements where statement like %s", ["%notes%"]
                )
            ).fetchone()
    assert found == (1,)


async def test_a_kept_plan_is_no_way_around_policies(migrated: str) -> None:
    """The same text by different roles and callers, before and after a policy comes."""
    execute(
        migrated,
        "create table own (id int, owner uuid default auth.uid())",
        f"insert into own values (1, '{SUBJECT}'), (2, null)",
        "grant select on own to anon, authenticated, service_role",
    )
    asked = reading("select coalesce(array_agg(id order by id), '{}') from own")
    async with runner_of(migrated) as (runner, _):
        for _ in range(4):
            assert await runner.run(asked, caller(), row) == ("{1,2}",)
        execute(
            migrated,
            "alter table own enable row level security",
            "create policy p on own for select to authenticated using (owner = auth.uid())",
        )
        for _ in range(2):
            assert await runner.run(asked, caller(), row) == ("{1}",)
            assert await runner.run(asked, caller(subject=None), row) == ("{}",)
            assert await runner.run(asked, caller("anon"), row) == ("{}",)
            assert await runner.run(asked, caller("service_role"), row) == ("{1,2}",)


async def test_a_broken_connection_is_our_error_and_the_next_one_works(breakable: BreakableProxy) -> None:
    migrate(breakable.dsn)
    async with runner_of(breakable.dsn) as (runner, _):
        assert await runner.run(reading("select 1"), caller(), row) == ("1",)
        with pytest.raises(DatabaseUnreachable):
            await asyncio.gather(
                runner.run(reading("select pg_sleep(5)"), caller(), row),
                asyncio.to_thread(_cut_when_busy, breakable),
            )


def _cut_when_busy(proxy: BreakableProxy) -> None:
    from tests.support.waiting import wait_until  # noqa: PLC0415

    wait_until(lambda: fetch(proxy.dsn, "select count(*) from pg_stat_activity where query like '%pg_sleep(5)%'") > 1)
    proxy.cut()


async def test_many_share_few_connections(migrated: str) -> None:
    async with runner_of(migrated, size=3) as (runner, _):
        answers = await asyncio.gather(
            *(
                runner.run(reading("select auth.uid()::text"), caller(subject=f"{SUBJECT[:-2]}{n:02x}"), row)
                for n in range(60)
            )
        )
    assert [each[0] for each in answers] == [f"{SUBJECT[:-2]}{n:02x}" for n in range(60)]
