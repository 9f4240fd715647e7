"""Reads the log of a test database up to a marker, and shows what was read as plain values that print well."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.sql import SQL, Composed, Literal

from tidewire.model.change import Change, Event, LogicalMessage, Transaction
from tidewire.postgres.connection import connect_async
from tidewire.postgres.replication import SILENCE_S, connect_replication
from tidewire.postgres.slot import DurableSlot, SlotStart
from tidewire.postgres.source import PostgresSource, SlotKeeper

PUBLICATION = "followed"
SLOT = "followed"
MARKER = "marker"
LIMIT_S = 15.0
"""How long a test waits for something that normally takes milliseconds."""

POLL_S = 0.005
QUEUE_BYTES = 64 * 2**20

_numbers = itertools.count(1)


def prepare_database(dsn: str, *statements: str, publish: str = "for tables in schema public") -> None:
    """Make what a source needs and nothing more, then run the test's own statements."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("create schema realtime")
        admin.execute(
            "create table realtime.tidewire_slots ("
            " slot_name text primary key, epoch text not null,"
            " state text not null check (state in ('pending', 'ready')), created_at timestamptz not null default now())"
        )
        run(admin, *statements)
        run(admin, f"create publication {PUBLICATION} {publish} with (publish_via_partition_root = true)")


def execute(dsn: str, *statements: str) -> None:
    """Run statements, each in its own transaction."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        run(connection, *statements)


def run(connection: psycopg.Connection[Any], *statements: str) -> None:
    for statement in statements:
        connection.execute(statement.encode())


def fetch(dsn: str, query: str) -> Any:
    """Return the only value of the first row, or None when there is no row."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def emit(dsn: str, content: str) -> None:
    """Write a logical message into the log, in a transaction of its own."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(marker_statement(content))


def marker_statement(content: str) -> Composed:
    return SQL("select pg_logical_emit_message(true, {}, {}::text)").format(Literal(MARKER), Literal(content))


async def prepare_slot(dsn: str, name: str = SLOT, *, failover: bool = False) -> SlotStart:
    """Begin a history here: what is committed after this returns will be in the log."""
    async with await connect_async(dsn) as sql, await connect_replication(dsn) as walsender:
        return await DurableSlot(name, failover=failover).prepare(sql, walsender)


def make_source(
    dsn: str,
    slot: SlotKeeper | None = None,
    *,
    publications: tuple[str, ...] = (PUBLICATION,),
    queue_bytes: int = QUEUE_BYTES,
    silence_s: float = SILENCE_S,
    **more: Any,
) -> PostgresSource:
    slot = slot or DurableSlot(SLOT)
    return PostgresSource(dsn, slot, publications, queue_bytes=queue_bytes, silence_s=silence_s, **more)


class Follower:
    """Pulls parts out of a source and checks, with every part, what must always be true of them."""

    def __init__(self, source: PostgresSource, dsn: str) -> None:
        self.source = source
        self.parts: list[Transaction] = []
        self._dsn = dsn
        self._log: AsyncGenerator[Transaction, None] = source.transactions()

    async def next(self, *, confirm: bool = True, limit_s: float = LIMIT_S) -> Transaction:
        """Return the next part; a complete one is confirmed."""
        async with asyncio.timeout(limit_s):
            part = await anext(self._log)
        self._check(part)
        self.parts.append(part)
        if confirm and part.end_lsn is not None:
            self.source.confirm(part.end_lsn)
        return part

    async def read(self, *, confirm: bool = True, limit_s: float = LIMIT_S) -> list[Transaction]:
        """Write a marker and return every part before it that holds something."""
        content = f"{next(_numbers)}"
        emit(self._dsn, content)
        return await self.read_to(content, confirm=confirm, limit_s=limit_s)

    async def read_to(self, content: str, *, confirm: bool = True, limit_s: float = LIMIT_S) -> list[Transaction]:
        """Return the parts before the marker that somebody else writes."""
        before: list[Transaction] = []
        async with asyncio.timeout(limit_s):
            while True:
                part = await self.next(confirm=confirm, limit_s=limit_s)
                if marker_of(part) == content:
                    return before
                if part.events:
                    before.append(part)

    async def close(self) -> None:
        await self._log.aclose()

    def _check(self, part: Transaction) -> None:
        for event in part.events:
            assert event.lsn == part.commit_lsn, f"{event} is not of transaction {part.commit_lsn:x}"
        here = identities([part])
        last = next((identities([earlier])[-1] for earlier in reversed(self.parts) if earlier.events), (0, -1))
        assert all(one < two for one, two in zip([last, *here], here, strict=False)), f"order: {last} then {here}"
        if part.end_lsn is not None:
            assert part.end_lsn > part.commit_lsn


@asynccontextmanager
async def following(dsn: str, source: PostgresSource | None = None) -> AsyncIterator[Follower]:
    """Follow `dsn` from here on; with a source of your own, prepare its slot yourself."""
    if source is None:
        await prepare_slot(dsn)
    follower = Follower(source or make_source(dsn), dsn)
    try:
        yield follower
    finally:
        await follower.close()


async def wait_until(condition: Callable[[], object], what: str, *, limit_s: float = LIMIT_S) -> None:
    """Ask again and again, letting other tasks run, until the answer is true."""
    deadline_s = time.monotonic() + limit_s
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline_s, f"after {limit_s:g} s still not: {what}"
        await asyncio.sleep(POLL_S)


def marker_of(part: Transaction) -> str | None:
    match part.events:
        case (LogicalMessage(prefix="marker", content=content),):
            return content.decode()
    return None


def identities(parts: Iterable[Transaction]) -> list[tuple[int, int]]:
    return [(event.lsn, event.index) for part in parts for event in part.events]


def changes(parts: Iterable[Transaction]) -> list[Change]:
    return [event for part in parts for event in part.events if isinstance(event, Change)]


def shown(events: Iterable[Transaction]) -> list[str]:
    """Return one short line per event: `INSERT things (1, a)`, with the old row behind `was`."""
    return [_show(event) for part in events for event in part.events]


def _show(event: Event) -> str:
    if isinstance(event, LogicalMessage):
        return f"MESSAGE {event.prefix} {event.content.decode()}"
    line = f"{event.operation} {event.relation.name}"
    if event.new is not None:
        line += f" {_show_row(event.new)}"
    return line if event.old is None else f"{line} was {_show_row(event.old)}"


def _show_row(row: Iterable[object]) -> str:
    texts = ("-" if value is False else "NULL" if value is None else str(value) for value in row)
    return f"({', '.join(texts)})"
