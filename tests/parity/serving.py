"""`tidewire serve` as a user starts it, on a port that stays the same when it is started again."""

import http.client
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.support import tokens
from tests.support.command import COMMAND, environment
from tests.support.postgres import fresh_migrated_database, open_folder
from tests.support.waiting import wait_until
from tidewire.postgres.embedded import EmbeddedPostgres

START_LIMIT_S = 20.0
STOP_LIMIT_S = 15.0
PUBLISHABLE_KEY = "sb_publishable_parity_0123456789abcdef"


def token(*, secret: str = tokens.SECRET, lifetime_s: float = 3600, **claims: Any) -> str:
    """Sign a token that is valid from now on; a negative lifetime has passed already."""
    now_s = int(time.time())
    return tokens.sign(signer=secret, **{"iat": now_s - 60, "exp": int(now_s + lifetime_s), **claims})


class TidewireServer:
    """A server process for one database. Start it, stop it, start it again; nothing is left once it is stopped."""

    def __init__(self, database_url: str, folder: Path, **variables: str) -> None:
        """Without an address the server runs the embedded database; further settings are given as variables."""
        self.database_url = database_url
        self._variables = variables
        self.log_file = folder / "serve.log"
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        settings = {
            "TIDEWIRE_JWT_SECRET": tokens.SECRET,
            "TIDEWIRE_PUBLISHABLE_KEYS": PUBLISHABLE_KEY,
            "TIDEWIRE_SLOT": f"parity_{self.port}",  # names of slots are shared by all databases of a cluster
            **self._variables,
        }
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [COMMAND, "serve", "--port", str(self.port)],
                env=environment(self.database_url) | settings,
                cwd=self.log_file.parent,
                stdout=log,
                stderr=log,
            )
        wait_until(self._ready_or_gone, limit_s=START_LIMIT_S)
        assert self._process.poll() is None, self.log

    def stop(self) -> None:
        """Ask the server to leave, as a supervisor would, and check that it left in good order."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._process = None
        assert code == 0, self.log
        assert "Traceback" not in self.log, self.log

    def kill(self) -> None:
        """End the server as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")[-5000:]

    def _ready_or_gone(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            return True
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)) as connection:
            try:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == http.client.OK
            except (http.client.HTTPException, OSError):
                return False


@contextmanager
def serving(postgres: EmbeddedPostgres, **variables: str) -> Iterator[TidewireServer]:
    """Serve a migrated database, with further settings as variables."""
    with fresh_migrated_database(postgres) as dsn, open_folder() as folder:
        running = TidewireServer(dsn, folder, **variables)
        try:
            running.start()
            yield running
        finally:
            running.stop()
