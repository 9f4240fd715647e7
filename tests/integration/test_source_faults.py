"""Connections that break, freeze and are refused, servers that stop and die: one source goes on without a gap."""

import asyncio
import random
import time
from functools import partial

import psycopg
import pytest

from tests.support.log import (
    Follower,
    changes,
    emit,
    execute,
    following,
    identities,
    make_source,
    prepare_database,
    prepare_slot,
    run,
    wait_until,
)
from tests.support.postgres import MakeServer, crash
from tests.support.proxy import BreakableProxy
from tidewire.model.change import Transaction

THINGS = "create table things (id int primary key, label text)"
CLEAN_STOP_LIMIT_S = 10.0


def _keys(parts: list[Transaction]) -> list[int]:
    return [int(str(change.new[0])) for change in changes(parts) if change.new is not None]


def _write(dsn: str, first: int, count: int) -> None:
    """Write one row per transaction, now and then three."""
    with psycopg.connect(dsn, autocommit=True) as writer:
        for number in range(first, first + count):
            width = 3 if number % 7 == 0 else 1
            writer.execute(
                "insert into things select %s * 10 + n, 'x' from generate_series(0, %s) n", [number, width - 1]
            )


def _expect_all(parts: list[Transaction], dsn: str) -> None:
    """The keys that arrived are the database's own list, each once."""
    with psycopg.connect(dsn) as reader:
        committed = [key for (key,) in reader.execute("select id from things order by id").fetchall()]
    arrived = _keys(parts)
    assert sorted(set(arrived)) == committed, f"missing: {sorted(set(committed) - set(arrived))[:10]}"
    assert len(arrived) == len(committed), "one source object repeats nothing"
    assert len(set(identities(parts))) == len(identities(parts))


@pytest.mark.timeout(60)
async def test_cut_connections_leave_no_gap_and_no_repeat(any_database: str, any_breakable: BreakableProxy) -> None:
    prepare_database(any_database, THINGS)
    await prepare_slot(any_database)
    dice = random.Random(7)  # noqa: S311 - the same moments in every run
    async with following(any_database, make_source(any_breakable.dsn)) as log, asyncio.TaskGroup() as group:
        reading = group.create_task(log.read_to("end", limit_s=40))
        await log.source.ready()
        writers = [group.create_task(asyncio.to_thread(_write, any_database, n * 1000, 300)) for n in range(2)]
        for _ in range(8):
            due = partial(_has_come_to, log, len(log.parts) + dice.randrange(60), writers)
            await wait_until(due, "more parts, or all were written")
            await asyncio.to_thread(any_breakable.cut)
            await wait_until(lambda: log.source.status == "streaming", "the source streams again")
        await asyncio.gather(*writers)
        emit(any_database, "end")
        parts = await reading
    _expect_all(parts, any_database)


def _has_come_to(log: Follower, count: int, writers: list[asyncio.Task[None]]) -> bool:
    return len(log.parts) >= count or all(writer.done() for writer in writers)


@pytest.mark.timeout(60)
async def test_a_frozen_network_is_noticed_and_survived(database: str, breakable: BreakableProxy) -> None:
    prepare_database(database, THINGS)
    await prepare_slot(database)
    source = make_source(breakable.dsn, silence_s=2.5)
    async with following(database, source) as log, asyncio.TaskGroup() as group:
        reading = group.create_task(log.read_to("end", limit_s=40))
        await source.ready()
        await asyncio.to_thread(_write, database, 1, 20)
        breakable.freeze()
        await asyncio.to_thread(_write, database, 100, 20)
        await wait_until(lambda: source.status == "reconnecting", "the silence was noticed")
        breakable.thaw()
        await asyncio.to_thread(_write, database, 200, 20)
        emit(database, "end")
        parts = await reading
    _expect_all(parts, database)


async def test_a_server_that_refuses_for_a_while_is_asked_again(database: str, breakable: BreakableProxy) -> None:
    prepare_database(database, THINGS)
    await prepare_slot(database)
    async with following(database, make_source(breakable.dsn)) as log, asyncio.TaskGroup() as group:
        reading = group.create_task(log.read_to("end"))
        await log.source.ready()
        await asyncio.to_thread(breakable.refuse)
        await asyncio.to_thread(breakable.cut)
        await asyncio.to_thread(_write, database, 1, 20)
        await wait_until(lambda: log.source.status == "reconnecting", "the source tries")
        await asyncio.to_thread(breakable.accept)
        emit(database, "end")
        parts = await reading
    _expect_all(parts, database)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("version", ["embedded-18", "debian-15"])
async def test_servers_that_stop_and_die_leave_no_gap_and_no_repeat(make_server: MakeServer, version: str) -> None:
    """First a clean restart, which must not wait for us; then a crash while a large transaction is on its way."""
    server = make_server(version)
    dsn = server.dsn()
    prepare_database(dsn, THINGS)
    await prepare_slot(dsn)
    async with following(dsn, make_source(dsn)) as log, asyncio.TaskGroup() as group:
        reading = group.create_task(log.read_to("restarted", limit_s=30))
        await log.source.ready()
        await asyncio.to_thread(_write, dsn, 1, 50)
        began_s = time.monotonic()
        await asyncio.to_thread(server.stop)
        assert time.monotonic() - began_s < CLEAN_STOP_LIMIT_S
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(_write, dsn, 100, 50)
        emit(dsn, "restarted")
        parts = await reading

        execute(dsn, "insert into things select n, 'large' from generate_series(100000, 106000) n")
        parts.append(await log.next())
        assert not parts[-1].complete
        lost = psycopg.connect(dsn)
        run(lost, "insert into things values (999999, 'never committed')")
        await asyncio.to_thread(crash, server)
        lost.close()
        await asyncio.to_thread(server.start)
        reading = group.create_task(log.read_to("recovered", limit_s=30))
        await asyncio.to_thread(_write, dsn, 200, 50)
        emit(dsn, "recovered")
        parts += await reading
    _expect_all(parts, dsn)
