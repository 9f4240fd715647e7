"""The proxy that other tests break connections with does what its verbs say."""

import asyncio

import psycopg
import pytest

from tests.support.postgres import ask
from tests.support.proxy import BreakableProxy


def test_it_passes_everything_on(breakable: BreakableProxy) -> None:
    assert ask(breakable.dsn, "select length(repeat('x', 1000000))") == 1_000_000
    with psycopg.connect(breakable.dsn) as connection:
        row = connection.execute("select repeat('x', 1000000)").fetchone()
        assert row is not None
        assert len(row[0]) == 1_000_000
        assert breakable.connections == 1


def test_cut_breaks_open_connections_and_lets_new_ones_through(breakable: BreakableProxy) -> None:
    connection = psycopg.connect(breakable.dsn)
    breakable.cut()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")
    connection.close()
    assert ask(breakable.dsn, "select 1") == 1


def test_refuse_keeps_open_connections_until_accept(breakable: BreakableProxy) -> None:
    with psycopg.connect(breakable.dsn) as connection:
        breakable.refuse()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(breakable.dsn)
        connection.execute("select 1")
    breakable.accept()
    assert ask(breakable.dsn, "select 1") == 1


async def test_freeze_holds_back_and_thaw_lets_go(breakable: BreakableProxy) -> None:
    async with await psycopg.AsyncConnection.connect(breakable.dsn, autocommit=True) as connection:
        breakable.freeze()
        waiting = asyncio.ensure_future(connection.execute("select 1"))  # noqa: TID251 - a test owns its own tasks
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        breakable.thaw()
        assert await (await waiting).fetchone() == (1,)


def test_a_frozen_proxy_can_still_be_closed_and_cut(breakable: BreakableProxy) -> None:
    connection = psycopg.connect(breakable.dsn)
    breakable.freeze()
    breakable.cut()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("select 1")
    connection.close()
