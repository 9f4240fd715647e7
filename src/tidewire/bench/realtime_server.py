"""A Postgres with the tables of a benchmark, `tidewire serve` on it, and what clients of both need to know."""

import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tidewire.bench.client_bytes import client_frame, upgrade_request
from tidewire.bench.own_server import UNLIMITED, serve_command, serve_environ
from tidewire.bench.process import ServerProcess, free_port, server_process
from tidewire.bench.server import bench_server, make_tables
from tidewire.hub.authorize import sign_token

TOKEN_S = 6 * 3600
MAX_CONNECTIONS = 16_000
"""Half as many again as the most clients: those who have just left may still be on their way out."""

JOIN_REPLIES = 2
"""The reply, and the system message that changes flow."""

WAL = {"wal_writer_delay": "10ms"}
"""A flood of rows does not wait for the disk, and must not wait for the log to be handed on either."""


class RealtimeServer(Struct, frozen=True):
    """A running server without limits. Clients shake hands with `request`, then say what `join` returns."""

    process: ServerProcess
    dsn: str
    postgres: str
    """Its version."""
    port: int
    secret: str

    def request(self) -> bytes:
        """Return a handshake as anybody's."""
        return upgrade_request(f"/realtime/v1/websocket?apikey={self.token({'role': 'anon'})}&vsn=2.0.0", self.port)

    def token(self, claims: Mapping[str, Any]) -> str:
        """Sign claims."""
        return sign_token({"exp": int(time.time()) + TOKEN_S, **claims}, self.secret)


def join(topic: str, binding: Mapping[str, str], *, token: str | None = None) -> bytes:
    """Write what joins a topic with one binding, as whoever shook hands or with a token of its own."""
    config = {"broadcast": {}, "presence": {"enabled": False}, "postgres_changes": [binding]}
    payload = {"config": config} if token is None else {"config": config, "access_token": token}
    return client_frame(msgspec.json.encode(("1", "1", f"realtime:{topic}", "phx_join", payload)))


@contextmanager
def realtime_server(tables: str, bin_dir: str | None) -> Iterator[RealtimeServer]:
    """Run both in temporary folders until the block ends; `tables` is a query that makes them."""
    with tempfile.TemporaryDirectory(prefix="tidewire-bench-") as name, bench_server(bin_dir, **WAL) as server:
        folder = Path(name)
        folder.chmod(0o755)
        make_tables(server.dsn, tables)
        port, secret = free_port(), secrets.token_urlsafe(48)
        environ = serve_environ(
            jwt_secret=secret,
            max_connections=str(MAX_CONNECTIONS),
            events_per_s_per_connection=UNLIMITED,
            requests_per_s_per_address=UNLIMITED,
            requests_per_s_per_token=UNLIMITED,
            outbox_bytes=str(64 * 2**20),
            idle_s=UNLIMITED,  # nobody here sends heartbeats
        )
        environ["DATABASE_URL"] = server.dsn
        with server_process(serve_command(port), port=port, folder=folder, environ=environ) as process:
            yield RealtimeServer(process, server.dsn, server.programs.version, port, secret)
