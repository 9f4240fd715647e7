"""The durable replication slot, and the epoch that names its unbroken history. Makes and checks; never streams.

The epoch is written before the slot is made and marked ready after it, so a crash between the two is seen and repaired.
"""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
from msgspec import Struct
from psycopg.sql import SQL, Literal

from tidewire.model.errors import MigrationError, MissingPrivilege, PostgresError, SlotBusy, SlotLost, SlotTaken
from tidewire.model.position import Lsn, parse_lsn
from tidewire.postgres import queries
from tidewire.postgres.connection import translated

UNKEPT = "unkept"
"""The epoch of positions that no durable slot keeps: nobody can resume there."""


class SlotFacts(Struct, frozen=True):
    """One row of pg_replication_slots, the same for every version."""

    ours: bool
    plugin: str
    database: str
    active: bool
    wal_status: str
    invalidation_reason: str
    confirmed_flush_lsn: str | None

    @property
    def lost(self) -> str | None:
        """Why this slot can never continue, or None."""
        if self.invalidation_reason:
            return self.invalidation_reason
        return "its WAL was removed" if self.wal_status == "lost" or self.confirmed_flush_lsn is None else None


class SlotStart(Struct, frozen=True):
    """A slot that is ready to stream: its history is `epoch`, and begins at `confirmed`."""

    name: str
    epoch: str
    confirmed: Lsn
    is_new: bool = False
    """Whether it was made just now, so that there is nothing before it."""


async def read_slot(connection: psycopg.AsyncConnection[Any], name: str) -> SlotFacts | None:
    """Look one slot up by name."""
    cursor = await connection.execute(queries.load("slot_facts"), {"slot": name})
    row = await cursor.fetchone()
    return SlotFacts(*row) if row else None


class DurableSlot:
    """The slot that survives restarts. Call `prepare` before each stream and `replace` after SlotLost."""

    def __init__(self, name: str, *, failover: bool = False) -> None:
        self.name = name
        self._failover = failover

    async def prepare(
        self, sql: psycopg.AsyncConnection[Any], _walsender: psycopg.AsyncConnection[Any], /
    ) -> SlotStart:
        """Make sure the slot exists and can continue. Raises SlotTaken, or SlotLost when history has a hole."""
        with _translated(f"preparing slot {self.name}"):
            async with _only_one(sql, self.name):
                return await self._prepare(sql)

    async def replace(self, sql: psycopg.AsyncConnection[Any], lost_epoch: str, /) -> SlotStart:
        """Begin anew after SlotLost: use the slot if another node has begun a new epoch by now, else make one.

        A slot that looks well is replaced too: it was moved, or what lies before it cannot be decoded. Raises SlotBusy.
        """
        with _translated(f"replacing slot {self.name}"):
            async with _only_one(sql, self.name):
                try:
                    start = await self._prepare(sql)
                except SlotLost:
                    return await self._create(sql)
                return await self._create(sql) if start.epoch == lost_epoch else start

    async def _prepare(self, connection: psycopg.AsyncConnection[Any]) -> SlotStart:
        facts = await read_slot(connection, self.name)
        if facts is not None and not facts.ours:
            raise SlotTaken(
                f"preparing slot {self.name}: expected pgoutput in this database,"
                f" got {facts.plugin} in {facts.database or 'no database'}"
            )
        known = await self._read_epoch(connection)
        if known is None and facts is not None and facts.lost is None:
            known = await self._adopt(connection)
        if known is None or known[1] == "pending":
            return await self._create(connection)
        if facts is None:
            raise SlotLost(f"continuing slot {self.name}: it was dropped")
        if facts.lost is not None or facts.confirmed_flush_lsn is None:
            raise SlotLost(f"continuing slot {self.name}: {facts.lost}")
        if facts.active:  # where it stands says nothing yet: its holder is still moving it
            raise SlotBusy(f"continuing slot {self.name}: another connection streams from it")
        return SlotStart(self.name, known[0], parse_lsn(facts.confirmed_flush_lsn))

    async def _create(self, connection: psycopg.AsyncConnection[Any]) -> SlotStart:
        epoch = secrets.token_hex(6)
        await connection.execute(queries.load("slot_drop"), {"slot": self.name})  # first: it may still be in use
        await self._write_epoch(connection, epoch, "pending")
        version = connection.info.server_version
        create = "slot_create_failover" if self._failover and version >= 170000 else "slot_create"
        cursor = await connection.execute(queries.load(create), {"slot": self.name})
        row = await cursor.fetchone()
        if row is None:
            raise PostgresError(f"creating slot {self.name}: Postgres returned nothing")
        await self._write_epoch(connection, epoch, "ready")
        return SlotStart(self.name, epoch, parse_lsn(row[0]), is_new=True)

    async def _adopt(self, connection: psycopg.AsyncConnection[Any]) -> tuple[str, str]:
        """A usable slot that somebody made by hand is as good as our own."""
        epoch = secrets.token_hex(6)
        await self._write_epoch(connection, epoch, "ready")
        return epoch, "ready"

    async def _read_epoch(self, connection: psycopg.AsyncConnection[Any]) -> tuple[str, str] | None:
        try:
            cursor = await connection.execute(queries.load("slot_read_epoch"), {"slot": self.name})
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            raise MigrationError(
                "preparing the slot: the table realtime.tidewire_slots is missing", hint="run tidewire migrate"
            ) from None
        row = await cursor.fetchone()
        return (row[0], row[1]) if row else None

    async def _write_epoch(self, connection: psycopg.AsyncConnection[Any], epoch: str, state: str) -> None:
        await connection.execute(queries.load("slot_write_epoch"), {"slot": self.name, "epoch": epoch, "state": state})


class TemporarySlot:
    """A slot for looking on: it lives as long as its connection and holds back no WAL afterwards.

    With `past` it is a copy of the durable slot and begins where that one stands, without disturbing it. Either way
    its positions are the durable slot's, if there is one.
    """

    def __init__(self, *, copy_of: str, past: bool = False) -> None:
        self.name = ""
        self._copy_of = copy_of
        self._past = past
        self._began: Lsn | None = None

    async def prepare(self, sql: psycopg.AsyncConnection[Any], walsender: psycopg.AsyncConnection[Any], /) -> SlotStart:
        """Make the slot on the connection that will stream from it. Raises SlotLost if there is nothing to copy."""
        self.name = f"tidewire_look_{secrets.token_hex(6)}"
        with translated("making a temporary slot"):
            if not self._past:
                query = SQL(queries.load("slot_create_temporary")).format(name=Literal(self.name))
            else:
                facts = await read_slot(sql, self._copy_of)
                if facts is None or facts.lost:
                    raise SlotLost(
                        f"reading the past: slot {self._copy_of} {'does not exist' if facts is None else 'is lost'}",
                        hint="start without --since to follow from now",
                    )
                query = SQL(queries.load("slot_copy_temporary")).format(
                    source=Literal(self._copy_of), name=Literal(self.name)
                )
            row = await (await walsender.execute(query)).fetchone()  # parameters do not exist on this connection
            start = SlotStart(self.name, await self._epoch(sql), parse_lsn(row[0] if row else ""))
        if self._past and self._began is not None and start.confirmed > self._began:
            raise SlotLost(f"reading the past: slot {self._copy_of} was moved since the connection before")
        self._began = start.confirmed
        return start

    async def replace(self, _sql: psycopg.AsyncConnection[Any], _lost_epoch: str, /) -> SlotStart:
        """Refuse: whoever looks on must be told that something was missed."""
        raise SlotLost("continuing a temporary slot: it ended with its connection")

    async def _epoch(self, sql: psycopg.AsyncConnection[Any]) -> str:
        """Positions can be used later if a durable slot keeps this history; otherwise they say so."""
        cursor = await sql.execute("select pg_catalog.to_regclass('realtime.tidewire_slots') is not null")
        migrated = await cursor.fetchone()
        if migrated is None or not migrated[0]:
            return UNKEPT
        cursor = await sql.execute(queries.load("slot_read_epoch"), {"slot": self._copy_of})
        row = await cursor.fetchone()
        return str(row[0]) if row else UNKEPT


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        with translated(doing):
            yield
    except MissingPrivilege as error:
        raise MissingPrivilege(
            error.message, hint="run tidewire migrate as this role, or grant it what realtime.tidewire_slots needs"
        ) from None


@asynccontextmanager
async def _only_one(connection: psycopg.AsyncConnection[Any], name: str) -> AsyncIterator[None]:
    """Two nodes that start at once must not both make the slot."""
    await connection.execute(queries.load("slot_lock"), {"slot": name})
    try:
        yield
    finally:
        if not connection.broken:
            await connection.execute(queries.load("slot_unlock"), {"slot": name})
