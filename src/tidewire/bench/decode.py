"""Decoding speed: rows per second of our source and of `pg_recvlogical` to /dev/null, over the same stretch of log.

Both read copies of one slot, in turn, so that both see the same bytes and the same state of the machine. The source is
measured as a relay uses it, which leaves each row as the bytes that came; beside that stand the figures named `read`,
with every row of every change read as well, which is what a node does at most: when everybody follows everything.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import aclosing, closing, contextmanager
from typing import Any

import psycopg
import uvloop

from tidewire.bench.recvlogical import drop_slot, recvlogical_command
from tidewire.bench.report import Report, judge, median
from tidewire.bench.server import PUBLICATION, BenchServer, bench_server
from tidewire.model.change import LogicalMessage
from tidewire.model.errors import BenchmarkFailed
from tidewire.model.position import parse_lsn
from tidewire.postgres.connection import connect
from tidewire.postgres.slot import SlotStart, read_slot
from tidewire.postgres.source import PostgresSource

SHAPES = (1, 10, 1000)
"""Rows per transaction."""

ROWS = 120_000
QUICK_ROWS = 30_000
ROUNDS = 7
QUICK_ROUNDS = 3
NEED = 0.9
QUEUE_BYTES = 64 * 2**20


def run(*, quick: bool, bin_dir: str | None = None) -> Report:
    """Measure all shapes; the ratios are medians over rounds of ours and theirs in turn."""
    rows, rounds = (QUICK_ROWS, QUICK_ROUNDS) if quick else (ROWS, ROUNDS)
    figures: dict[str, float] = {}
    ratios: dict[str, float] = {}
    with bench_server(bin_dir, fsync="off") as server:
        for shape in SHAPES:
            end = _write(server, rows // shape, shape)  # a third each of inserted, updated and deleted rows
            ours, reading, theirs = [], [], []
            for _ in range(rounds):
                theirs.append(rows / _time_recvlogical(server, end))
                ours.append(rows / _time_source(server, read_rows=False))
                reading.append(rows / _time_source(server, read_rows=True))
            figures[f"rows_per_s_{shape}"] = median(ours)
            figures[f"rows_per_s_read_{shape}"] = median(reading)
            figures[f"pg_recvlogical_rows_per_s_{shape}"] = median(theirs)
            ratios[f"vs_pg_recvlogical_{shape}"] = _median_ratio(ours, theirs)
            ratios[f"read_vs_pg_recvlogical_{shape}"] = _median_ratio(reading, theirs)
        version = server.programs.version
    needs = {f"vs_pg_recvlogical_{shape}": (">=", NEED) for shape in SHAPES}
    return judge("decode", postgres=version, figures=figures, ratios=ratios, needs=needs)  # type: ignore[arg-type]


def _median_ratio(ours: list[float], theirs: list[float]) -> float:
    return median([a / b for a, b in zip(ours, theirs, strict=True)])


def _write(server: BenchServer, transactions: int, rows_each: int) -> str:
    """Fill a stretch of log behind a fresh slot and return where it ends."""
    with closing(connect(server.dsn)) as connection:
        connection.execute("truncate bench restart identity")
        connection.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = 'bench'"
        )
        connection.execute("select pg_create_logical_replication_slot('bench', 'pgoutput')")
        connection.execute("set synchronous_commit = off")
        connection.execute(f"call bench_write({transactions:d}, {rows_each:d})")
        row = connection.execute("select pg_logical_emit_message(true, 'end', '')::text").fetchone()
        connection.execute("select pg_logical_emit_message(true, 'after the end', '')")  # lets --endpos act at once
        connection.execute("checkpoint")
    return str(row[0]) if row else ""


class CopiedSlot:
    """A slot that was made before the clock started, as for the other side."""

    name = "ours"

    async def prepare(
        self, sql: psycopg.AsyncConnection[Any], _walsender: psycopg.AsyncConnection[Any], /
    ) -> SlotStart:
        facts = await read_slot(sql, self.name)
        return SlotStart(self.name, "bench", parse_lsn((facts and facts.confirmed_flush_lsn) or ""))

    async def replace(self, _sql: psycopg.AsyncConnection[Any], _lost_epoch: str, /) -> SlotStart:
        raise BenchmarkFailed("reading the log: the slot was lost")


@contextmanager
def _copied_slot(server: BenchServer, name: str) -> Iterator[None]:
    with closing(connect(server.dsn)) as connection:
        connection.execute("select pg_copy_logical_replication_slot('bench', %s)", [name])
        yield
        drop_slot(connection, name)


def _time_source(server: BenchServer, *, read_rows: bool) -> float:
    with _copied_slot(server, CopiedSlot.name):
        started = time.perf_counter()
        uvloop.run(_follow(server, read_rows=read_rows))
        return time.perf_counter() - started


async def _follow(server: BenchServer, *, read_rows: bool) -> None:
    source = PostgresSource(server.dsn, CopiedSlot(), (PUBLICATION,), queue_bytes=QUEUE_BYTES)
    async with aclosing(source.transactions()) as transactions:
        async for part in transactions:
            if read_rows:
                for change in part.changes:
                    _ = change.new, change.old
            last = part.events[-1] if part.events else None
            if isinstance(last, LogicalMessage) and last.prefix == "end":
                return


def _time_recvlogical(server: BenchServer, end: str) -> float:
    with _copied_slot(server, "theirs"):
        command = [*recvlogical_command(server, "theirs", PUBLICATION, proto_version="1"), "--endpos", end]
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        return time.perf_counter() - started
