"""Transactions that are sent in blocks while they run come out as if they were sent in one piece after their commit."""

import random
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from tests.support.log import (
    emit,
    following,
    make_source,
    prepare_database,
    prepare_slot,
    run,
    shown,
)
from tidewire.model.change import Transaction
from tidewire.postgres.slot import DurableSlot
from tidewire.postgres.source import PostgresSource

BLOCK_KIB = 64
"""The least that Postgres takes: a few hundred rows are sent in several blocks."""
SPOOL_BYTES = 64 * 2**20
ROWS = 1000
END = "the end"
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
        self._ids = iter(range(number * 10_000_000, (number + 1) * 10_000_000, ROWS))
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
            self.run(insert(next(self._ids), rows=chance.randint(200, 900) if kind == "insert" else 1, table=table))
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


@pytest.mark.timeout(60)
@pytest.mark.parametrize("seed", range(4))
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
        for _ in range(120):
            chance.choice(writers).step()
        for writer in writers:
            writer.end(keep=True)
    blocks, whole = await both_ways(any_database)
    assert packed(blocks) > 0
    assert packed(whole) == 0
    assert said(blocks) == said(whole)
    assert [part.end_lsn for part in blocks if part.complete] == [part.end_lsn for part in whole if part.complete]
