"""Where row-level security is measured: readers who each see their own of a table, and a check of each in Postgres."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, LiteralString

from msgspec import Struct

from tidewire.bench.listener import Listener
from tidewire.bench.realtime_server import JOIN_REPLIES, RealtimeServer, join, realtime_server
from tidewire.bench.rls_rows import Workload, shares, user_id
from tidewire.model.errors import BenchmarkFailed
from tidewire.postgres.connection import connect, translated

READER, PASSES_BY = "authenticated", "service_role"
"""The role that policies bind, and the one that they do not."""


class Flood(Struct, frozen=True):
    """What came of writing rows as fast as Postgres takes them."""

    marks: range
    """Of the rows."""
    changes_per_s: float
    server_us_per_change: float
    """CPU time of the server, not of Postgres."""


class RlsStage:
    """A running server. Gather readers, then write; each must receive the rows that it may see, and no others."""

    def __init__(self, server: RealtimeServer, receiver: Path) -> None:
        """`receiver` is the compiled generator."""
        self.postgres = server.postgres
        self._server = server
        self._receiver = receiver
        self._next_mark = 1

    @contextmanager
    def readers(
        self, workload: Workload, count: int, *, role: str = READER, filter_of: Callable[[int], str] | None = None
    ) -> Iterator[Listener]:
        """Connect readers that follow the table, each as a user of its own with a token of its own.

        A role that passes by the policies needs a filter that lets through the same.
        """
        joins = [self._join(workload, reader, role, filter_of) for reader in range(count)]
        with Listener(self._receiver, subscribers=count) as listener:
            listener.open_subscribers(self._server.port, self._server.request())
            listener.tell_subscribers(joins, replies=JOIN_REPLIES)
            yield listener

    def _join(self, workload: Workload, reader: int, role: str, filter_of: Callable[[int], str] | None) -> bytes:
        binding = {"event": "*", "schema": "public", "table": workload.table}
        if filter_of is not None:
            binding["filter"] = filter_of(reader)
        token = self._server.token({"role": role, "sub": user_id(reader)})
        return join(f"reader-{reader}", binding, token=token)

    def flood(self, workload: Workload, listener: Listener, *, transactions: int, rows_each: int) -> Flood:
        """Write so many transactions; the clock runs from before the first commit to the last frame."""
        rows, readers = transactions * rows_each, listener.subscribers
        marks = range(self._next_mark, self._next_mark + rows)
        self._next_mark = marks.stop
        due = shares(workload, marks, readers)
        groups = workload.group_count(readers)
        values = {"first": marks.start, "transactions": transactions, "rows_each": rows_each, "groups": groups}
        before_s = self._server.process.cpu_s()
        _, seconds = listener.tell_apart(lambda: self._write(workload.write, values), due)
        cpu_s = self._server.process.cpu_s() - before_s
        return Flood(marks, rows / seconds, cpu_s / rows * 1e6)

    def check_each(self, workload: Workload, marks: range, *, rows: int, readers: int) -> float:
        """Have Postgres look for the first of these rows as each reader in turn; return how many rows a second."""
        groups = workload.group_count(readers)
        visible = rows * sum(len(workload.groups_of(reader)) for reader in range(readers)) // groups
        with translated("checking each reader"), closing(connect(self._server.dsn)) as connection:
            found: Any = connection.execute(
                "select rows_checked, seen, seconds from bench_check_each(%s::regclass, %s, %s, %s)",
                (workload.table, marks.start, rows, readers),
            ).fetchone()
        checked, seen, seconds = found
        if (checked, seen) != (rows, visible):
            raise BenchmarkFailed(
                f"checking each reader: expected {rows} rows, seen {visible} times, got {checked}, seen {seen} times"
            )
        return rows / float(seconds)

    def _write(self, statement: LiteralString, values: Mapping[str, int]) -> None:
        with translated("writing for the benchmark"), closing(connect(self._server.dsn)) as connection:
            connection.execute("set synchronous_commit = off")
            connection.execute(statement, values)


@contextmanager
def rls_stage(receiver: Path, bin_dir: str | None) -> Iterator[RlsStage]:
    """Run everything in temporary folders until the block ends."""
    with realtime_server("bench_rls", bin_dir) as server:
        yield RlsStage(server, receiver)
