"""`tidewire serve` in a process of its own, and what must not grow in it: memory, files, tasks, and what it keeps of
clients.
"""

import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import psycopg
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from tests.support.command import COMMAND, environment
from tests.support.server import SocketClient, migrate, token
from tests.support.tokens import SECRET
from tests.support.waiting import wait_until

FOLLOWED = """
create table watched (id bigint generated always as identity primary key, resident int not null, number int not null);
grant select on watched to anon;
alter publication supabase_realtime add table watched;
"""
SETTINGS = {
    "TIDEWIRE_JWT_SECRET": SECRET,
    "TIDEWIRE_IDLE_S": "2",
    "TIDEWIRE_REFUSAL_DELAY_S": "0.05",
    "TIDEWIRE_PRESENCE_CALLS": "1000",
    "TIDEWIRE_HISTORY_BYTES": "100000",
}
"""Silence ends within a round, and the kept past is full before memory is looked at. The rest is as delivered."""

STANDING = ("connections", "channels", "topics", "subscriptions", "presences")
"""What the server keeps of clients, by the names of its metrics."""

STOP_LIMIT_S = 15.0


class Sample(Struct, frozen=True):
    """The server at one moment: its metrics without their prefix, and what the operating system says of it."""

    figures: Mapping[str, float]
    rss_mib: float
    files: int

    def standing(self) -> dict[str, float]:
        return {name: self.figures[name] for name in STANDING}


class SoakServer:
    """A running server for `dsn`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, dsn: str, log: Path) -> None:
        self.process = process
        self.port = port
        self.dsn = dsn
        self._log = log

    def target(self, apikey: str | None = None) -> str:
        """Return the path of the socket, with a token that is good unless another one is given."""
        return f"/realtime/v1/websocket?{urlencode({'apikey': apikey or token(), 'vsn': '2.0.0'})}"

    def connect(self) -> SocketClient:
        return SocketClient(self.port, self.target(), version=2)

    def sample(self) -> Sample:
        families = text_string_to_metric_families(self._get("/metrics"))
        figures = {
            sample.name.removeprefix("tidewire_"): sample.value
            for family in families
            for sample in family.samples
            if not sample.labels
        }
        process = Path("/proc") / str(self.process.pid)
        return Sample(figures, _rss_mib(process), sum(1 for _ in (process / "fd").iterdir()))

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log
        try:
            self._get("/readyz")
        except OSError:
            return False
        return True

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _get(self, path: str) -> str:
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
            text: str = response.read().decode()
        return text


@contextmanager
def soak_server(dsn: str, folder: Path) -> Iterator[SoakServer]:
    """Prepare the database and serve it until the block ends; then the server must leave in good order."""
    migrate(dsn)
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(FOLLOWED)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    path = folder / "serve.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            [COMMAND, "--log-level", "info", "serve", "--port", str(port)],
            env=environment(dsn) | SETTINGS,
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    server = SoakServer(process, port, dsn, path)
    try:
        wait_until(server.is_ready, limit_s=20)
        yield server
        process.terminate()
        assert process.wait(STOP_LIMIT_S) == 0, server.log[-5000:]
    finally:
        process.kill()
        process.wait()


def _rss_mib(process: Path) -> float:
    lines = (process / "status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024
