"""Clients that go on by position while server and Postgres are killed under them, and a writer that never rests."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

import psycopg

from tests.support.log import fetch
from tests.support.server import SocketClient, token
from tidewire.postgres.embedded import EmbeddedPostgres

TABLE: Final = (
    "create table notes (id int primary key, part int)",
    "grant select on notes to anon",
    "alter publication supabase_realtime add table notes",
)
WISH: Final = {"event": "INSERT", "schema": "public", "table": "notes"}
RETURN_LIMIT_S: Final = 20.0
PAUSE_S: Final = 0.003
"""Between two commits, so that clients which share a processor with all this keep up."""
GONE: Final = (EOFError, ConnectionError, TimeoutError)


class Writer:
    """Inserts rows, in transactions of one to 150, until it is told to stop; goes on when Postgres comes back.

    A commit whose answer was lost in a crash counts if its rows are there.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _write(self) -> None:
        numbers = count(1)
        while not self._over.is_set():
            with suppress(psycopg.Error), psycopg.connect(self._dsn, connect_timeout=5) as connection:
                while not self._over.is_set():
                    for part in range(150 if next(numbers) % 20 == 0 else 2):
                        connection.execute("insert into notes values (%s, %s)", [next(numbers), part])
                    connection.commit()
                    self._over.wait(PAUSE_S)


def written(dsn: str) -> list[int]:
    """Return the numbers of all rows, in the order in which they were committed: one writer counts upwards."""
    with psycopg.connect(dsn) as connection:
        return [number for (number,) in connection.execute("select id from notes order by id")]


class Resuming:
    """A client that reads changes, and after every loss of its connection goes on behind the last one it has seen."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._client: SocketClient | None = None
        self.seen: list[int] = []
        self.after: str | None = None
        self.replies: list[dict[str, Any]] = []

    def join(self, **more: Any) -> dict[str, Any]:
        """Connect and join, again and again until it works; the reply is returned and kept."""
        deadline_s = time.monotonic() + RETURN_LIMIT_S
        while True:
            try:
                return self._join(more)
            except (*GONE, AssertionError):
                self.leave()
                assert time.monotonic() < deadline_s, f"not back within {RETURN_LIMIT_S} s"
                time.sleep(0.01)

    def _join(self, more: dict[str, Any]) -> dict[str, Any]:
        self.leave()
        self._client = SocketClient(self._port, f"/realtime/v1/websocket?apikey={token()}&vsn=2.0.0", version=2)
        wish = {**WISH, **more, **({} if self.after is None else {"after": self.after})}
        reply = self._client.join("realtime:notes", postgres_changes=[wish])
        self.replies.append(reply)
        self.after = reply["position"]
        return reply

    def read(self, until: int | None = None) -> None:
        """Take the next change, or all up to the row with this number. Raises one of GONE when the connection ends."""
        while True:
            data = self.hears("postgres_changes")["payload"]["data"]
            self.seen.append(data["record"]["id"])
            self.after = data["position"]
            if until is None or self.seen[-1] >= until:
                return

    def read_more(self, number: int) -> None:
        """Take so many changes, joining again whenever the connection is lost."""
        for _ in range(number):
            while True:
                try:
                    self.read()
                    break
                except GONE:
                    self.join()

    def hears(self, *events: str) -> dict[str, Any]:
        """Return the next message of one of these events. Raises one of GONE when the connection ends."""
        assert self._client is not None
        try:
            return self._client.receive(*events)
        except AssertionError:  # a close, such as of a client that is too slow
            raise EOFError from None

    def leave(self) -> None:
        if self._client is not None:
            self._client.raw.socket.close()
            self._client = None


@contextmanager
def resuming(port: int) -> Iterator[Resuming]:
    client = Resuming(port)
    try:
        yield client
    finally:
        client.leave()


def crash(postgres: EmbeddedPostgres) -> None:
    """Kill the postmaster as the kernel would, and start Postgres again."""
    folder = Path(str(fetch(postgres.dsn(), "show data_directory")))
    os.kill(int((folder / "postmaster.pid").read_text(encoding="ascii").split()[0]), signal.SIGKILL)
    postgres.stop()
    postgres.start()
