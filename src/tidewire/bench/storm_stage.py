"""Where it is measured what coming back costs: a server, followers of tables under policies, and what writes them."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final, LiteralString

from psycopg import sql

from tidewire.bench.bystanders import Bystanders
from tidewire.bench.crowd import Crowd
from tidewire.bench.follower import words
from tidewire.bench.realtime_server import RealtimeServer, realtime_server
from tidewire.model.errors import BenchmarkFailed
from tidewire.postgres.connection import connect, translated

END_S: Final = 10.0

Written = Mapping[int, float]
"""By the mark of a row, the Unix time at which it was written."""


class StormStage:
    """A running server. A row with mark m belongs to user m modulo the number of users."""

    def __init__(self, server: RealtimeServer) -> None:
        self.postgres = server.postgres
        self.dsn = server.dsn
        self._server = server

    def server_cpu_s(self) -> float:
        """Return the CPU time of the server, not of Postgres."""
        return self._server.process.cpu_s()

    def crowd(self, count: int, *, first_user: int = 0) -> Crowd:
        """Prepare clients that each follow the rows of a user of its own."""
        request = self._server.request()
        users = range(first_user, first_user + count)
        everybody = [words(self._server, "bench_own", user_id(user), request) for user in users]
        return Crowd(self._server.port, everybody)

    def bystanders(self, count: int) -> Bystanders:
        """Prepare clients that each follow a table that all may see."""
        return self.readers("bench_bystander", count)

    def server_peak_mib(self) -> float:
        """Return the most memory that the server has ever taken."""
        return self._server.process.peak_rss_kib() / 1024

    def readers(self, table: str, count: int) -> Bystanders:
        """Prepare clients that each follow a whole table that all may see."""
        request = self._server.request()
        everybody = [words(self._server, table, user_id(user), request) for user in range(count)]
        return Bystanders(self._server.port, everybody)

    @contextmanager
    def writing(self, *, own_per_s: float, rows_each: int, users: int, bystander_per_s: float) -> Iterator[None]:
        """Commit so many transactions a second to both tables until the block ends."""
        self._run("insert into bench_writing default values", {})
        own = {"rate": own_per_s, "rows_each": rows_each, "users": users}
        with (
            self._beside("call bench_write_own(%(rate)s, %(rows_each)s, %(users)s)", own),
            self._beside("call bench_write_bystander(%(rate)s)", {"rate": bystander_per_s}),
        ):
            try:
                yield
            finally:
                self._run("delete from bench_writing", {})

    @contextmanager
    def writing_beside(self, *, bystander_per_s: float) -> Iterator[None]:
        """Commit so many transactions a second to the bystanders' table until the block ends."""
        self._run("insert into bench_writing default values", {})
        with self._beside("call bench_write_bystander(%(rate)s)", {"rate": bystander_per_s}):
            try:
                yield
            finally:
                self._run("delete from bench_writing", {})

    def write_missed(self, first: int, each: int, *, first_user: int, users: int = 1) -> None:
        """Write so many rows for each of some users, with marks from `first` on."""
        values = {"first": first, "each": each, "first_user": first_user, "users": users}
        self._run("call bench_write_missed(%(first)s, %(each)s, %(first_user)s, %(users)s)", values)

    def written(self, table: str) -> Written:
        """Return all rows that were written to a table."""
        with translated("reading what was written"), closing(connect(self.dsn)) as connection:
            found = sql.SQL("select mark, extract(epoch from written_at)::float8 from {}").format(sql.Identifier(table))
            rows = connection.execute(found).fetchall()
        return dict(rows)

    @contextmanager
    def _beside(self, statement: LiteralString, values: Mapping[str, Any]) -> Iterator[None]:
        failures: list[Exception] = []
        thread = threading.Thread(target=_catching, args=(failures, lambda: self._run(statement, values)), daemon=True)
        thread.start()
        yield
        thread.join(END_S)
        if failures or thread.is_alive():
            raise BenchmarkFailed(f"writing: expected an end, got {failures[0] if failures else 'none'}")

    def _run(self, statement: LiteralString, values: Mapping[str, Any]) -> None:
        with translated("writing for the benchmark"), closing(connect(self.dsn)) as connection:
            connection.execute("set synchronous_commit = off")
            connection.execute(statement, values)


@contextmanager
def storm_stage(bin_dir: str | None) -> Iterator[StormStage]:
    """Run everything in temporary folders until the block ends."""
    with realtime_server("bench_storm", bin_dir) as server:
        yield StormStage(server)


def user_id(number: int) -> str:
    """Return the `sub` of a token; bench_user_id() in SQL is the same."""
    return f"{number:08x}-0000-4000-8000-{number:012x}"


def _catching(failures: list[Exception], work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - raised where the block ends
        failures.append(error)
