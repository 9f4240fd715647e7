"""Finds what a database role lacks to apply the migrations, before anything is changed. Grants nothing itself."""

from collections.abc import Iterable
from typing import Any

import psycopg
from msgspec import Struct
from psycopg.rows import class_row

from tidewire.model.errors import MigrationError
from tidewire.postgres import queries
from tidewire.postgres.connection import translated


class Gap(Struct, frozen=True):
    """What the connected role lacks. An administrator runs `sql`; nothing starts while a `required` gap is open."""

    what: str
    sql: str
    required: bool


def find_gaps(connection: psycopg.Connection[Any]) -> tuple[Gap, ...]:
    """List everything the connected role lacks; the statements work when run in this order."""
    with translated("checking privileges"), connection.cursor(row_factory=class_row(Gap)) as cursor:
        return tuple(cursor.execute(queries.load("migrate_missing")))


def refuse_gaps(gaps: Iterable[Gap]) -> None:
    """Raise MigrationError naming every required gap and, as the remedy, every statement an administrator must run."""
    required = [gap for gap in gaps if gap.required]
    if required:
        lacking = "; ".join(gap.what for gap in required)
        remedy = ["let an administrator run this in the same database, then run `tidewire migrate` again:"]
        raise MigrationError(
            f"checking privileges: expected a role that can make all objects, got: {lacking}",
            hint="\n".join(remedy + [gap.sql for gap in required]),
        )
