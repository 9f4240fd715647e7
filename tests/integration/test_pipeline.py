"""Statements go to Postgres at once and their results come back in order, whatever becomes of each of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import psycopg
import pytest

from tests.support.tables import open_pool
from tidewire.model.errors import PostgresError
from tidewire.postgres.pipeline import KEEP_FROM_USE, KEPT_STATEMENTS, Pipeline
from tidewire.postgres.pool import Connection, Pool
from tidewire.query.statement import Statement

ONE = Statement("select 1")
KEPT = "select count(*)::int from pg_prepared_statements"


@asynccontextmanager
async def pipeline_of(dsn: str) -> AsyncIterator[tuple[Pipeline, Connection, Pool]]:
    async with open_pool(dsn, size=1) as pool, pool.connection("testing") as connection:
        yield Pipeline(connection), connection, pool


def asking(text: str, *parameters: str | None) -> Statement:
    return Statement(text, parameters)


async def values(pipeline: Pipeline, *statements: Statement) -> list[bytes | None]:
    return [each.get_value(0, 0) for each in await pipeline.ask(statements)]


async def test_results_come_in_order_as_text(any_database: str) -> None:
    async with pipeline_of(any_database) as (pipeline, _, _):
        for _ in range(KEEP_FROM_USE + 1):
            found = await values(
                pipeline,
                asking("select %s::int + %s::int", "1", "2"),
                ONE,
                asking("select %s", None),
                asking("select 'a%%' like %s", "a%"),
                asking("select %s", "ü€😀"),
            )
            assert found == [b"3", b"1", None, b"t", "ü€😀".encode()]


async def test_the_first_failure_is_raised_and_the_rest_is_not_done(any_database: str) -> None:
    async with pipeline_of(any_database) as (pipeline, connection, _):
        await pipeline.ask([Statement("create table public.t (id int)")])
        for _ in range(KEEP_FROM_USE + 1):
            with pytest.raises(psycopg.errors.DivisionByZero):
                await pipeline.ask(
                    [
                        Statement("insert into public.t values (1)"),
                        Statement("select 1 / 0"),
                        Statement("select nonsense"),
                    ]
                )
        assert await values(pipeline, Statement("select count(*) from public.t")) == [b"0"]
        assert not connection.closed


async def test_kept_statements_are_bounded(any_database: str) -> None:
    async with pipeline_of(any_database) as (pipeline, _, _):
        for number in range(KEPT_STATEMENTS + 30):
            for _ in range(KEEP_FROM_USE):
                assert await values(pipeline, asking(f"select {number} + %s::int", "1")) == [b"%d" % (number + 1)]
        (kept,) = await values(pipeline, Statement(KEPT))
        assert KEPT_STATEMENTS <= int(kept or b"") <= KEPT_STATEMENTS + 1
        assert await values(pipeline, asking("select 0 + %s::int", "1")) == [b"1"]


async def test_a_statement_that_fails_is_kept_once(any_database: str) -> None:
    async with pipeline_of(any_database) as (pipeline, _, _):
        for _ in range(10):
            with pytest.raises(psycopg.errors.DivisionByZero):
                await pipeline.ask([asking("select 1 / %s::int", "0")])
            with pytest.raises(psycopg.errors.UndefinedTable):
                await pipeline.ask([Statement("select * from nowhere")])
        assert await values(pipeline, Statement(KEPT)) == [b"1"]


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_what_is_no_text_is_refused_before_anything_is_sent(any_database: str, text: str) -> None:
    async with pipeline_of(any_database) as (pipeline, connection, _):
        with pytest.raises((psycopg.DataError, UnicodeEncodeError)):
            await pipeline.ask([Statement("create table public.t ()"), asking("select %s", text)])
        assert not connection.closed
        assert await values(pipeline, Statement("select to_regclass('public.t') is null")) == [b"t"]


async def test_much_goes_both_ways_at_once(any_database: str) -> None:
    async with pipeline_of(any_database) as (pipeline, _, _):
        large = "x" * 3_000_000
        found = await values(pipeline, *[asking("select %s", large)] * 5)
        assert [len(each or b"") for each in found] == [3_000_000] * 5


async def test_rows_come_in_chunks(any_database: str) -> None:
    async with pipeline_of(any_database) as (pipeline, _, _):
        asked = [ONE, asking("select generate_series(1, %s::int)", "10"), ONE]
        async with aclosing(pipeline.stream(asked, chunked=1, chunk_rows=4)) as results:
            assert [result.ntuples async for result in results] == [1, 4, 4, 2, 0, 1]
        assert await values(pipeline, ONE) == [b"1"]


async def test_a_list_that_cannot_be_prepared_is_an_error_and_the_connection_stays(any_database: str) -> None:
    async with pipeline_of(any_database) as (pipeline, _, _):
        for _ in range(2 * KEEP_FROM_USE):
            with pytest.raises(psycopg.errors.UndefinedFunction):
                async with aclosing(
                    pipeline.stream([ONE, asking("select 'a'::text << %s", "b")], chunked=1)
                ) as results:
                    _ = [result async for result in results]
        assert await values(pipeline, ONE) == [b"1"]


async def test_whoever_gives_up_loses_the_connection(any_database: str) -> None:
    async with open_pool(any_database, size=1) as pool:
        with pytest.raises(TimeoutError):
            async with pool.connection("testing") as connection, asyncio.timeout(0.1):
                await Pipeline(connection).ask([Statement("select pg_sleep(10)")])
        async with pool.connection("testing") as connection:
            pipeline = Pipeline(connection)
            async with aclosing(
                pipeline.stream([Statement("select generate_series(1, 100000)")], chunked=0)
            ) as results:
                assert (await anext(results)).get_value(0, 0) == b"1"
            assert connection.closed
        async with pool.connection("testing") as connection:
            assert await values(Pipeline(connection), ONE) == [b"1"]


async def test_a_broken_connection_is_an_error(any_database: str) -> None:
    async with open_pool(any_database, size=1) as pool:
        with pytest.raises(PostgresError):
            async with pool.connection("testing") as connection:
                await Pipeline(connection).ask([Statement("select pg_terminate_backend(pg_backend_pid())"), ONE])
