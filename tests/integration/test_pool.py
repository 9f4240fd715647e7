"""The pool lends few connections, says at once why there is none, and survives whatever its server does."""

import asyncio
from typing import Any

import psycopg
import pytest

from tests.support.postgres import ask
from tests.support.proxy import BreakableProxy
from tests.support.tables import open_pool
from tests.support.waiting import wait_until
from tidewire.model.errors import AuthenticationFailed, DatabaseUnreachable, PostgresError
from tidewire.postgres.pool import Pool

PID = "select pg_backend_pid()"


async def value(pool: Pool, query: Any, parameters: dict[str, object] | None = None) -> Any:
    rows = await pool.fetch("asking", query, parameters or {})
    return rows[0][0]


async def test_a_connection_is_used_again(any_database: str) -> None:
    async with open_pool(any_database) as pool:
        assert await value(pool, PID) == await value(pool, PID)


async def test_a_session_is_prepared(any_database: str) -> None:
    async with open_pool(any_database, query_timeout_s=3) as pool:
        shown = [
            await value(pool, "select current_setting(%(name)s)", {"name": name})
            for name in ("TimeZone", "DateStyle", "statement_timeout", "application_name", "extra_float_digits")
        ]
    assert shown == ["UTC", "ISO, MDY", "3s", "tidewire", "1"]


async def test_operators_are_looked_for_where_not_everybody_may_make_one(any_database: str) -> None:
    with psycopg.connect(any_database, autocommit=True) as admin:
        admin.execute("create schema extensions; revoke create on schema public from public")
    async with open_pool(any_database) as pool:
        assert await value(pool, "show search_path") == "pg_catalog, extensions, public, pg_temp"
    with psycopg.connect(any_database, autocommit=True) as admin:
        admin.execute("grant create on schema public to public")
    async with open_pool(any_database) as pool:
        assert await value(pool, "show search_path") == "pg_catalog, extensions, pg_temp"


async def test_it_lends_no_more_than_its_size_and_says_so_in_bounded_time(database: str) -> None:
    async with open_pool(database, size=2, wait_s=0.1) as pool:
        async with pool.connection("holding"), pool.connection("holding"):
            with pytest.raises(DatabaseUnreachable, match=r"one of 2 connections to be free within 0\.1 s"):
                await value(pool, PID)
        assert await value(pool, PID)
    count = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    wait_until(lambda: ask(database, count) == 0)  # the pool has closed what it had


async def test_who_waits_gets_the_next_free_connection(database: str) -> None:
    async with open_pool(database, size=1) as pool:
        pids = await asyncio.gather(*(value(pool, PID) for _ in range(20)))
    assert len(set(pids)) == 1


async def test_a_wrong_password_is_told_as_such(database: str) -> None:
    async with open_pool(f"{database} user=nobody_at_all") as pool:
        with pytest.raises(AuthenticationFailed):
            await value(pool, PID)


async def test_while_the_server_is_away_everybody_is_told_at_once_and_later_it_goes_on(
    breakable: BreakableProxy,
) -> None:
    async with open_pool(breakable.dsn, size=1) as pool:
        await value(pool, PID)
        breakable.refuse()
        breakable.cut()
        for _ in range(50):  # far more often than it may try to connect, so most are told what the last attempt met
            with pytest.raises(DatabaseUnreachable):
                await value(pool, PID)
        breakable.accept()
        assert await until_it_answers(pool)


async def until_it_answers(pool: Pool) -> int:
    async with asyncio.timeout(10):
        while True:
            try:
                return int(await value(pool, PID))
            except DatabaseUnreachable:
                await asyncio.sleep(0.01)


async def test_a_connection_that_ended_while_it_was_idle_is_replaced_unnoticed(any_database: str) -> None:
    async with open_pool(any_database) as pool:
        first = await value(pool, PID)
        with psycopg.connect(any_database, autocommit=True) as admin:
            admin.execute("select pg_terminate_backend(%s, 5000)", [first])
        assert await value(pool, PID) != first


async def test_a_statement_that_takes_too_long_is_stopped(any_database: str) -> None:
    async with open_pool(any_database, query_timeout_s=0.1, size=1) as pool:
        with pytest.raises(PostgresError, match="asking: canceling statement due to statement timeout"):
            await value(pool, "select pg_sleep(60)")
        assert await value(pool, PID)


async def test_a_server_that_falls_silent_is_given_up(
    breakable: BreakableProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewire.postgres.pool.GRACE_S", 0.1)
    async with open_pool(breakable.dsn, query_timeout_s=0.2, size=1) as pool:
        await value(pool, PID)
        breakable.freeze()
        with pytest.raises(DatabaseUnreachable):
            await value(pool, PID)
        breakable.thaw()
        assert await until_it_answers(pool)


async def test_what_was_left_in_a_transaction_is_not_lent_again(database: str) -> None:
    async with open_pool(database, size=1) as pool:
        async with pool.connection("leaving a mess") as connection:
            await connection.execute("begin; set local statement_timeout = 7")
        assert await value(pool, "show statement_timeout") == "5s"


async def test_cancelling_whoever_asks_gives_the_place_back(database: str) -> None:
    async with open_pool(database, size=1) as pool:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await value(pool, "select pg_sleep(60)")
        assert await value(pool, PID)


async def test_an_error_says_what_was_being_done_and_leaves_the_pool_whole(database: str) -> None:
    async with open_pool(database, size=1) as pool:
        with pytest.raises(PostgresError, match=r'^reading shoes: syntax error at or near "shoes"'):
            await pool.fetch("reading shoes", "shoes", {})
        assert await value(pool, PID)


async def test_a_closed_pool_lends_nothing(database: str) -> None:
    async with open_pool(database) as pool:
        async with pool.connection("holding") as connection:
            await pool.close()
        assert connection.closed
        with pytest.raises(PostgresError, match="expected an open pool"):
            await value(pool, PID)
