"""What a source asks over a connection beside its stream: what there is to follow, and why Postgres refuses."""

from typing import Any, NamedTuple

import psycopg

from tidewire.model.errors import ConfigurationError, PostgresError, SlotLost, TidewireError
from tidewire.model.position import Lsn, parse_lsn
from tidewire.postgres import queries
from tidewire.postgres.connection import translated
from tidewire.postgres.slot import read_slot


class Surroundings(NamedTuple):
    """Where the log ends and when that was, and how many bytes of it a slot may keep; negative is no limit."""

    end: Lsn
    now_us: int
    keep_bytes: int


async def read_surroundings(sql: psycopg.AsyncConnection[Any]) -> Surroundings:
    """Ask what the log is like right now."""
    with translated("asking where the log ends"):
        cursor = await sql.execute(queries.load("slot_surroundings"))
        row = await cursor.fetchone()
    if row is None:
        raise PostgresError("asking where the log ends: Postgres returned nothing")
    return Surroundings(parse_lsn(row[0]), row[1], row[2])


async def existing_publications(sql: psycopg.AsyncConnection[Any], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return those that are there: asking for another one would end the stream at the first change."""
    with translated("looking up publications"):
        cursor = await sql.execute(queries.load("publications_existing"), {"names": list(names)})
        found = tuple(name for (name,) in await cursor.fetchall())
    if not found:
        raise ConfigurationError(
            f"following the log: publication {names[0]} does not exist",
            hint="run tidewire migrate, then tidewire publish TABLE",
        )
    return found


async def explain(error: PostgresError, sql: psycopg.AsyncConnection[Any], slot: str) -> TidewireError:
    """Look whether the slot itself is why Postgres refused, and return what to raise.

    A publication made after the slot is unknown to the log before it: that history cannot be decoded either.
    """
    if "publication" in error.message and "does not exist" in error.message:
        return SlotLost(f"{error.message}: it was created after the slot's position")
    if error.retryable:
        return error  # the next attempt looks at the slot; this connection may be as dead as the other one
    try:
        facts = await read_slot(sql, slot)
    except psycopg.Error:
        return error
    return SlotLost(f"{error.message}: {facts.lost}") if facts is not None and facts.lost else error
