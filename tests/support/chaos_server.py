"""The server of the chaos: one port through all its lives, and how much memory each of them took."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import psycopg

from tests.support.command import COMMAND, environment
from tests.support.tokens import SECRET
from tidewire.postgres.embedded import EmbeddedPostgres

SETTINGS: Final = {
    "TIDEWIRE_JWT_SECRET": SECRET,
    "TIDEWIRE_REFUSAL_DELAY_S": "0.05",
    "TIDEWIRE_TOKEN_INTERVAL_S": "1",
    "TIDEWIRE_ACCOUNTS": "false",
    "TIDEWIRE_DATA_API": "false",
    "TIDEWIRE_RETENTION_AGE_S": "180",
}
"""All of the past is read again after each kill, so with the usual five minutes the server would hardly do anything
else."""


class Served:
    """`tidewire serve` for one database. Start it, kill it, start it again."""

    def __init__(self, dsn: str, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.log = folder / "serve.log"
        self.killed_s: list[float] = []
        """When, by the monotonic clock that all processes share."""
        self.memory_mib: list[float] = []
        """The most of each life that has ended."""
        self._dsn = dsn
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [COMMAND, "--log-level", "info", "serve", "--port", str(self.port)],
                env=environment(self._dsn) | SETTINGS,
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )

    def is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text(errors="replace")[-2000:]
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        if self._process is not None:
            self.killed_s.append(time.monotonic())
            self.memory_mib.append(_peak_mib(self._process.pid))
            self._process.kill()
            self._process.wait()


def _peak_mib(pid: int) -> float:
    fields = Path(f"/proc/{pid}/status").read_text(encoding="ascii").split()
    return int(fields[fields.index("VmHWM:") + 1]) / 1024


def crash(postgres: EmbeddedPostgres) -> None:
    """Kill the postmaster as a crash would, which ends all its processes; then start it again."""
    with psycopg.connect(postgres.dsn()) as connection:
        row = connection.execute("show data_directory").fetchone()
    pid = Path(str(row[0] if row else ""), "postmaster.pid").read_text(encoding="ascii").split()[0]
    os.kill(int(pid), signal.SIGKILL)
    postgres.stop()
    postgres.start()
