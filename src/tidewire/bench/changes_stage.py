"""Where the benchmark of row changes takes place: a Postgres, `tidewire serve` on it, followers, and what writes."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import LiteralString

from msgspec import Struct

from tidewire.bench.listener import Arrivals, Listener
from tidewire.bench.realtime_server import JOIN_REPLIES, RealtimeServer, join, realtime_server
from tidewire.postgres.connection import connect, translated

ROWS_PER_TRANSACTION = 10


class Flood(Struct, frozen=True):
    """What came of writing rows as fast as Postgres takes them."""

    changes_per_s: float
    deliveries_per_s: float
    server_us_per_change: float
    """CPU time of the server, not of Postgres."""


class Stage:
    """A running server. Gather followers, then write; everything that they are owed is counted."""

    def __init__(self, server: RealtimeServer, receiver: Path) -> None:
        """`receiver` is the compiled generator."""
        self.postgres = server.postgres
        self._server = server
        self._receiver = receiver

    @contextmanager
    def followers(self, count: int, *, filtered: bool) -> Iterator[Listener]:
        """Connect clients that follow the table, each the rows of a user of its own, or all of them every row."""
        joins = [_join(user) for user in range(count)] if filtered else [_join(None)]
        with Listener(self._receiver, subscribers=count) as listener:
            listener.open_subscribers(self._server.port, self._server.request())
            listener.tell_subscribers(joins, replies=JOIN_REPLIES)
            yield listener

    def flood(self, listener: Listener, rows: int, *, filtered: bool) -> Flood:
        """Write so many rows in transactions of ten; the clock runs from before the first commit to the last frame."""
        users = listener.subscribers
        before_s = self._server.process.cpu_s()
        _, seconds = listener.count(
            lambda: self._call("call bench_flood(%s, %s)", rows // ROWS_PER_TRANSACTION, users, durable=False),
            each=rows // users if filtered else rows,
        )
        cpu_s = self._server.process.cpu_s() - before_s
        return Flood(rows / seconds, rows / seconds * (1 if filtered else users), cpu_s / rows * 1e6)

    def pace(self, listener: Listener, *, per_s: int, each: int) -> Arrivals:
        """Write a row at a time, so many a second, until each user has its share; ages count from the stamp in it."""
        rows = each * listener.subscribers
        arrivals, _ = listener.count(
            lambda: self._call("call bench_pace_rows(%s, %s, %s)", per_s, rows, listener.subscribers),
            each=each,
            stamped=True,
        )
        return arrivals

    def _call(self, statement: LiteralString, *values: int, durable: bool = True) -> None:
        with translated("writing for the benchmark"), closing(connect(self._server.dsn)) as connection:
            if not durable:
                connection.execute("set synchronous_commit = off")
            connection.execute(statement, values)


@contextmanager
def stage(receiver: Path, bin_dir: str | None) -> Iterator[Stage]:
    """Run everything in temporary folders until the block ends."""
    with realtime_server("bench_changes", bin_dir) as server:
        yield Stage(server, receiver)


def _join(user: int | None) -> bytes:
    """Join a topic for one user, or the one that is everybody's."""
    binding = {"event": "*", "schema": "public", "table": "bench_rows"}
    if user is None:
        return join("everything", binding)
    return join(f"user-{user}", {**binding, "filter": f"user_id=eq.{user}"})
