"""In which forms a benchmark commits a million rows at once: by one statement, and as an application imports them."""

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

import psycopg
from msgspec import Struct

from tidewire.postgres.connection import connect, translated

TENANTS: Final = 100
"""As many as bench_storm.sql makes."""
BLOCK_ROWS: Final = 1000

Write = Callable[[psycopg.Connection[Any]], object]
"""Commits rows with the marks from 1 on, in their order, in one transaction."""


class Form(Struct, frozen=True):
    """A table, and how it is written. What `prepare` does for so many rows is not part of writing them."""

    name: str
    table: str
    prepare: Callable[[int], Write]


def _statement(rows: int) -> Write:
    """Have Postgres make narrow rows itself: nothing writes a log faster."""
    insert = "insert into bench_bulk select mark, 'row ' || mark from generate_series(1, %s) as mark"
    return lambda connection: connection.execute(insert, [rows])


def _import(rows: int) -> Write:
    blocks = [_copied(range(first, min(first + BLOCK_ROWS, rows + 1))) for first in range(1, rows + 1, BLOCK_ROWS)]

    def write(connection: psycopg.Connection[Any]) -> None:
        with connection.cursor() as cursor, cursor.copy("copy bench_import (mark, tenant_id, body) from stdin") as copy:
            for block in blocks:
                copy.write(block)

    return write


def _copied(marks: range) -> bytes:
    lines = (f"{mark}\t{mark % TENANTS}\trow {mark}\n" for mark in marks)
    return "".join(lines).encode()


FORMS: Final = (Form("statement", "bench_bulk", _statement), Form("import", "bench_import", _import))


def carry_out(write: Write, dsn: str) -> tuple[float, float]:
    """Write, and return the Unix times at which that began and had been committed."""
    with translated("writing for the benchmark"), closing(connect(dsn)) as connection:
        began_s = time.time()
        write(connection)
        return began_s, time.time()
