"""Where the benchmark of row changes takes place: a Postgres, `tidewire serve` on it, followers, and what writes."""

import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import LiteralString

import msgspec
from msgspec import Struct

from tidewire.bench.client_bytes import client_frame, upgrade_request
from tidewire.bench.listener import Arrivals, Listener
from tidewire.bench.process import ServerProcess, free_port, server_process
from tidewire.bench.server import bench_server
from tidewire.hub.authorize import sign_token
from tidewire.postgres import queries
from tidewire.postgres.connection import connect, translated
from tidewire.postgres.migrate import apply, find_pending
from tidewire.postgres.migration_files import read_migrations

TOKEN_S = 6 * 3600
UNLIMITED = "1000000000"
MAX_CONNECTIONS = 12_000
"""Twice the most followers: those who have just left may still be on their way out."""

JOIN_REPLIES = 2
"""The reply, and the system message that changes flow."""

ROWS_PER_TRANSACTION = 10
WAL = {"wal_writer_delay": "10ms"}
"""The flood does not wait for the disk, and must not wait for the log to be handed on either."""


class Flood(Struct, frozen=True):
    """What came of writing rows as fast as Postgres takes them."""

    changes_per_s: float
    deliveries_per_s: float
    server_us_per_change: float
    """CPU time of the server, not of Postgres."""


class Stage:
    """A running server. Gather followers, then write; everything that they are owed is counted."""

    def __init__(
        self, process: ServerProcess, port: int, *, secret: str, dsn: str, receiver: Path, postgres: str
    ) -> None:
        """`receiver` is the compiled generator, `postgres` the version that is written to."""
        self.process = process
        self.postgres = postgres
        self._port = port
        self._secret = secret
        self._dsn = dsn
        self._receiver = receiver

    @contextmanager
    def followers(self, count: int, *, filtered: bool) -> Iterator[Listener]:
        """Connect clients that follow the table, each the rows of a user of its own, or all of them every row."""
        token = sign_token({"role": "anon", "exp": int(time.time()) + TOKEN_S}, self._secret)
        request = upgrade_request(f"/realtime/v1/websocket?apikey={token}&vsn=2.0.0", self._port)
        joins = [_join(user) for user in range(count)] if filtered else [_join(None)]
        with Listener(self._receiver, subscribers=count) as listener:
            listener.open_subscribers(self._port, request)
            listener.tell_subscribers(joins, replies=JOIN_REPLIES)
            yield listener

    def flood(self, listener: Listener, rows: int, *, filtered: bool) -> Flood:
        """Write so many rows in transactions of ten; the clock runs from before the first commit to the last frame."""
        users = listener.subscribers
        before_s = self.process.cpu_s()
        _, seconds = listener.count(
            lambda: self._call("call bench_flood(%s, %s)", rows // ROWS_PER_TRANSACTION, users, durable=False),
            each=rows // users if filtered else rows,
        )
        cpu_s = self.process.cpu_s() - before_s
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
        with translated("writing for the benchmark"), closing(connect(self._dsn)) as connection:
            if not durable:
                connection.execute("set synchronous_commit = off")
            connection.execute(statement, values)


@contextmanager
def stage(receiver: Path, bin_dir: str | None) -> Iterator[Stage]:
    """Run everything in temporary folders until the block ends."""
    with tempfile.TemporaryDirectory(prefix="tidewire-bench-") as name, bench_server(bin_dir, **WAL) as server:
        folder = Path(name)
        folder.chmod(0o755)
        with closing(connect(server.dsn)) as connection:
            apply(connection, find_pending(connection, read_migrations()))
            connection.execute(queries.load("bench_changes"))
        port, secret = free_port(), secrets.token_urlsafe(48)
        command = [sys.executable, "-m", "tidewire", "--log-level", "warning", "serve", "--port", str(port)]
        environ = {
            "DATABASE_URL": server.dsn,
            "TIDEWIRE_JWT_SECRET": secret,
            "TIDEWIRE_MAX_CONNECTIONS": str(MAX_CONNECTIONS),
            "TIDEWIRE_EVENTS_PER_S_PER_CONNECTION": UNLIMITED,
            "TIDEWIRE_OUTBOX_BYTES": str(64 * 2**20),
            "TIDEWIRE_IDLE_S": UNLIMITED,  # nobody here sends heartbeats
        }
        with server_process(command, port=port, folder=folder, environ=environ) as process:
            yield Stage(
                process, port, secret=secret, dsn=server.dsn, receiver=receiver, postgres=server.programs.version
            )


def _join(user: int | None) -> bytes:
    """Join a topic for one user, or the one that is everybody's."""
    topic = "realtime:everything" if user is None else f"realtime:user-{user}"
    binding = {"event": "*", "schema": "public", "table": "bench_rows"}
    if user is not None:
        binding["filter"] = f"user_id=eq.{user}"
    config = {"broadcast": {}, "presence": {"enabled": False}, "postgres_changes": [binding]}
    return client_frame(msgspec.json.encode(("1", "1", topic, "phx_join", {"config": config})))
