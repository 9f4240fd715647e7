"""Transactions that are sent in blocks while they run come out as if they were sent in one piece after their commit."""

import asyncio
import random
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from tests.support.log import (
    emit,
    execute,
    fetch,
    following,
    identities,
    make_source,
    prepare_database,
    prepare_slot,
    run,
    shown,
)
from tests.support.postgres import MakeServer, crash
from tidewire.model.change import Transaction
from tidewire.postgres.slot import DurableSlot
from tidewire.postgres.source import PostgresSource

BLOCK_KIB = 64
"""The least that Postgres takes: a few hundred rows are sent in several blocks."""
SPOOL_BYTES = 64 * 2**20
ROWS = 600
MOST_ROWS = 900

pytestmark = pytest.mark.timeout(60)
END = "the end"
CUT = "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'followed'"
THINGS = "create table things (id int primary key, label text)"


def in_blocks(dsn: str, **more: Any) -> PostgresSource:
    return make_source(dsn, **{"spool_bytes": SPOOL_BYTES, "block_kib": BLOCK_KIB, **more})


def insert(first: int, *, rows: int = ROWS, table: str = "things") -> str:
    return f"insert into {table} (id, label) select n, 'row ' || n from generate_series({first}, {first + rows - 1}) n"


def packed(parts: list[Transaction]) -> int:
    """How many parts came from blocks."""
    return sum(part.shapes is not None for part in parts)


async def both_ways(dsn: str) -> tuple[list[Transaction], list[Transaction]]:
    """Read everything since the slots were made: in blocks, and in whole transactions."""
    emit(dsn, END)
    async with following(dsn, in_blocks(dsn, slot=DurableSlot("blocks"))) as blocks:
        await blocks.read_to(END)
    async with following(dsn, make_source(dsn, DurableSlot("whole"))) as whole:
        await whole.read_to(END)
    return blocks.parts, whole.parts


async def prepare_both(dsn: str, *statements: str) -> None:
    prepare_database(dsn, *statements)
    for slot in ("blocks", "whole"):
        await prepare_slot(dsn, slot)


def said(parts: list[Transaction]) -> list[tuple[Any, ...]]:
    """Everything that matters of what was read, however it was cut into parts."""
    events = [(part.xid, part.commit_time_us, event.lsn, event.index) for part in parts for event in part.events]
    return list(zip(events, shown(parts), strict=True))


class Writer:
    """One session that does at random what a session may do, in tables of its own and one that all share."""

    def __init__(self, dsn: str, number: int, chance: random.Random) -> None:
        self._connection = psycopg.connect(dsn)
        self._number = number
        self._chance = chance
        self._ids = iter(range(number * 10_000_000, (number + 1) * 10_000_000, MOST_ROWS))
        self._savepoints = 0
        self._columns = 0

    def step(self) -> None:
        chance, own = self._chance, f"own_{self._number}"
        kind = chance.choices(
            [
                "insert",
                "small",
                "update",
                "delete",
                "savepoint",
                "rollback to",
                "release",
                "message",
                "truncate",
                "alter",
                "end",
            ],
            [6, 4, 2, 2, 4, 3, 1, 1, 0.7, 0.7, 4],
        )[0]
        if kind in {"insert", "small"}:
            table = chance.choice([own, "shared"])
            self.run(
                insert(next(self._ids), rows=chance.randint(200, MOST_ROWS) if kind == "insert" else 1, table=table)
            )
        elif kind == "update":
            self.run(f"update {own} set label = label || '!' where id % 7 = {chance.randrange(7)}")
        elif kind == "delete":
            self.run(f"delete from {own} where id % 5 = {chance.randrange(5)}")
        elif kind == "savepoint":
            self._savepoints += 1
            self.run(f"savepoint s{self._savepoints}")
        elif kind in {"rollback to", "release"} and self._savepoints:
            to = chance.randint(1, self._savepoints)
            self.run(f"{kind} s{to}")
            self._savepoints = to - (kind == "release")
        elif kind == "message":
            self.run("select pg_logical_emit_message(true, 'app', repeat('m', 100))")
        elif kind == "truncate":
            self.run(f"truncate {own}")
        elif kind == "alter":
            self._columns += 1
            self.run(
                f"alter table {own} add column c{self._columns}_{chance.randrange(10**9)} int default {self._columns}"
            )
        elif kind == "end":
            self.end(keep=chance.random() < 0.7)

    def run(self, statement: str) -> None:
        run(self._connection, statement)

    def end(self, *, keep: bool) -> None:
        self._savepoints = 0
        if self._connection.info.transaction_status != TransactionStatus.IDLE:
            self._connection.commit() if keep else self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


@pytest.mark.parametrize("seed", range(2))
async def test_both_ways_give_the_same_under_the_same_places(any_database: str, seed: int) -> None:
    await prepare_both(
        any_database,
        "create table shared (id int primary key, label text)",
        *(f"create table own_{number} (id int primary key, label text)" for number in range(3)),
    )
    chance = random.Random(seed)  # noqa: S311 - to be repeated
    with ExitStack() as stack:
        writers = [Writer(any_database, number, chance) for number in range(3)]
        for writer in writers:
            stack.callback(writer.close)
        for _ in range(90):
            chance.choice(writers).step()
        for writer in writers:
            writer.end(keep=True)
    blocks, whole = await both_ways(any_database)
    assert packed(blocks) > 0
    assert packed(whole) == 0
    assert said(blocks) == said(whole)
    assert [part.end_lsn for part in blocks if part.complete] == [part.end_lsn for part in whole if part.complete]


async def test_what_is_rolled_back_is_never_heard_of(any_database: str) -> None:
    await prepare_both(any_database, THINGS)
    with psycopg.connect(any_database) as writer:
        run(writer, insert(0))
        writer.rollback()
        run(writer, insert(1000), "savepoint one", insert(2000), "savepoint two", insert(3000), "release two")
        run(writer, "rollback to one", insert(4000, rows=5))
        writer.commit()
    parts, whole = await both_ways(any_database)
    assert said(parts) == said(whole)
    assert [index for _, index in identities(parts)][: ROWS + 5] == list(range(ROWS + 5))


async def test_messages_behind_a_savepoint_that_is_rolled_back_are_not_told(any_database: str) -> None:
    """Postgres names the whole transaction in a logical message, so this one is read again in one piece."""
    await prepare_both(any_database, THINGS)
    with psycopg.connect(any_database) as writer:
        run(writer, insert(0), "savepoint one", "select pg_logical_emit_message(true, 'app', 'undone')", insert(1000))
        run(writer, "rollback to one", "select pg_logical_emit_message(true, 'app', 'kept')")
        writer.commit()
    execute(any_database, insert(5000))
    parts, whole = await both_ways(any_database)
    assert said(parts) == said(whole)
    assert [line for line in shown(parts) if line.startswith("MESSAGE app")] == ["MESSAGE app kept"]
    assert packed(parts) > 0, "what commits behind it comes in blocks again"


async def test_a_transaction_for_which_there_is_no_room_comes_in_one_piece(any_database: str) -> None:
    await prepare_both(any_database, THINGS)
    execute(
        any_database, insert(10_000, rows=10), insert(0, rows=2000), insert(20_000), "delete from things where id < 500"
    )
    emit(any_database, END)
    async with following(any_database, in_blocks(any_database, slot=DurableSlot("blocks"), spool_bytes=50_000)) as log:
        await log.read_to(END)
    async with following(any_database, make_source(any_database, DurableSlot("whole"))) as whole:
        await whole.read_to(END)
    assert said(log.parts) == said(whole.parts)
    of_its_own = {part.commit_lsn: part.shapes is not None for part in log.parts if len(part.events) > 50}
    assert sorted(of_its_own.values()) == [False, True, True]


async def test_an_altered_table_within_a_transaction_and_beside_it(any_database: str) -> None:
    await prepare_both(any_database, THINGS, "create table others (id int primary key, label text)")
    with psycopg.connect(any_database) as one, psycopg.connect(any_database) as two:
        run(one, insert(0), "savepoint s", "alter table things add column extra int default 7", insert(1000))
        run(two, insert(0, table="others"), "alter table others drop column label", "insert into others values (-1)")
        two.commit()
        run(one, "rollback to s", insert(2000), "create table late (id int primary key, label text)")
        run(one, insert(0, table="late"), "alter table things add column more text default 'm'", insert(3000))
        one.commit()
        run(two, "insert into things values (-2, 'x', 'y')", "insert into late values (-3, 'z')")
        two.commit()
    parts, whole = await both_ways(any_database)
    assert packed(parts) > 0
    assert said(parts) == said(whole)
    assert "INSERT late (-3, z)" in shown(parts)


async def test_a_walsender_that_dies_within_a_transaction(any_database: str) -> None:
    """What had come of it comes again: in one piece, if nothing more is written."""
    prepare_database(any_database, THINGS)
    await prepare_slot(any_database)
    async with following(any_database, in_blocks(any_database)) as log:
        with psycopg.connect(any_database) as writer:
            run(writer, insert(0))
            execute(any_database, "insert into things values (-1, 'beside')")
            assert shown(await log.read()) == ["INSERT things (-1, beside)"]
            assert fetch(any_database, CUT)
            execute(any_database, "insert into things values (-2, 'beside')")
            assert shown(await log.read()) == ["INSERT things (-2, beside)"]
            writer.commit()
        assert shown(await log.read()) == [f"INSERT things ({number}, row {number})" for number in range(ROWS)]


async def test_a_walsender_that_dies_while_a_transaction_is_told(any_database: str) -> None:
    prepare_database(any_database, THINGS)
    await prepare_slot(any_database)
    async with following(any_database, in_blocks(any_database)) as log:
        execute(any_database, insert(0))
        first = await log.next()
        assert first.shapes is not None
        assert not first.complete
        assert fetch(any_database, CUT)
        rest = await log.read()
    assert shown([first, *rest]) == [f"INSERT things ({number}, row {number})" for number in range(ROWS)]
    assert [index for _, index in identities([first, *rest])] == list(range(ROWS))


@pytest.mark.parametrize("version", ["embedded-18", "debian-15"])
async def test_a_server_that_is_killed_within_a_transaction_never_made_it(
    make_server: MakeServer, version: str
) -> None:
    server = make_server(version)
    dsn = server.dsn()
    prepare_database(dsn, THINGS)
    await prepare_slot(dsn)
    async with following(dsn, in_blocks(dsn)) as log:
        lost = psycopg.connect(dsn)
        run(lost, insert(0))
        execute(dsn, "insert into things values (-1, 'beside')")
        assert shown(await log.read()) == ["INSERT things (-1, beside)"]
        await asyncio.to_thread(crash, server)
        lost.close()
        await asyncio.to_thread(server.start)
        execute(dsn, insert(0))
        parts = await log.read(limit_s=30)
    assert shown(parts) == [f"INSERT things ({number}, row {number})" for number in range(ROWS)]


async def test_the_slot_keeps_what_a_running_transaction_needs(any_database: str) -> None:
    await prepare_both(any_database, THINGS)
    source = in_blocks(any_database, slot=DurableSlot("blocks"))
    async with following(any_database, source) as log:
        with psycopg.connect(any_database) as writer:
            run(writer, insert(0))
            for number in range(1, 4):
                execute(any_database, f"insert into things values (-{number}, 'beside')", "checkpoint")
                await log.read()  # and confirms what committed beside it
            writer.commit()
        await source.close()
    async with following(any_database, in_blocks(any_database, slot=DurableSlot("blocks"))) as log:
        of_it = [line for line in shown(await log.read()) if "beside" not in line and "MESSAGE" not in line]
    assert of_it == [f"INSERT things ({number}, row {number})" for number in range(ROWS)]
