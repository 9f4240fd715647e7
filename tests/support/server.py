"""The realtime server in a thread, behind our own WebSocket class or one of uvicorn's, and a client that speaks to it.

Everything is real: the database, the sockets, the node. Only its start is shorter than that of `tidewire serve`.
"""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlencode

from msgspec import Struct

from tests.support.live_client import LiveClient, Wire, read_kind_4, read_text
from tests.support.tokens import SECRET, sign
from tests.support.waiting import wait_until
from tests.support.websocket import BINARY, CLOSE, LIMIT_S, TEXT, RawClient, RunningServer, frame, serving_as
from tidewire import assemble
from tidewire.hub.node import Node
from tidewire.postgres.connection import connect
from tidewire.postgres.migrate import apply, find_pending
from tidewire.postgres.migration_files import read_migrations
from tidewire.server.app import NodeApp
from tidewire.server.lazy_app import LazyApp
from tidewire.server.websocket import Protocol
from tidewire.settings import Settings

WEBSOCKET_CLASSES: Final[Mapping[str, Any]] = {"direct": Protocol, "asgi": "websockets-sansio"}
"""Ours, which hands connections over, and one of uvicorn's own, behind which everything goes through ASGI."""

FAR_S: Final = 4_000_000_000
"""A time at which no test runs any more."""


def token(role: str = "anon", **claims: Any) -> str:
    """Mint a token that the server of these tests accepts."""
    return sign(role=role, **{"exp": FAR_S, "iat": ..., "sub": ..., **claims})


def migrate(dsn: str) -> None:
    with closing(connect(dsn)) as connection:
        apply(connection, find_pending(connection, read_migrations()))


class Answer(Struct, frozen=True):
    """What an HTTP request was answered with."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RealtimeServer(RunningServer):
    """A server that is asked over HTTP and WebSocket."""

    prefix: str = ""
    app: NodeApp
    node: Node
    loop: asyncio.AbstractEventLoop
    """All three only where `realtime` started it."""

    def drain(self) -> None:
        """Begin to send all clients away, as a server does that is told to stop."""
        asyncio.run_coroutine_threadsafe(self.node.drain(LIMIT_S), self.loop)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    def get(self, path: str, **headers: str) -> Answer:
        return request("GET", self.url + path, headers=headers)

    def post(self, path: str, body: bytes | object = b"", **headers: str) -> Answer:
        """Send bytes as they are, and anything else as JSON; `_` in a header's name stands for `-`."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return request("POST", self.url + path, data, headers={"content_type": "application/json", **headers})

    def connect(
        self, *, vsn: str = "2.0.0", path: str = "/realtime/v1/websocket", apikey: str | None = None, **query: str
    ) -> "SocketClient":
        target = f"{self.prefix}{path}?{urlencode({'apikey': apikey or token(), 'vsn': vsn, **query})}"
        return SocketClient(self.port, target, version=int(vsn[0]))


def request(method: str, url: str, data: bytes | None = None, *, headers: Mapping[str, str] | None = None) -> Answer:
    asked = urllib.request.Request(  # noqa: S310 - loopback
        url, data, {name.replace("_", "-"): value for name, value in (headers or {}).items()}, method=method
    )
    try:
        with urllib.request.urlopen(asked, timeout=LIMIT_S) as response:  # noqa: S310 - loopback
            return Answer(response.status, dict(response.headers), response.read())
    except HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read())


class SocketClient(LiveClient):
    """Speaks over a WebSocket."""

    def __init__(self, port: int, target: str, *, version: int) -> None:
        self.raw = RawClient(port)
        self.version = version
        self.raw.upgrade(target)

    def send(self, opcode: int, payload: bytes) -> None:
        self.raw.send(frame(opcode, payload))

    def send_text(self, data: bytes) -> None:
        self.send(TEXT, data)

    def send_binary(self, data: bytes) -> None:
        self.send(BINARY, data)

    def read(self) -> Wire:
        opcode, data = self.raw.read_frame()
        assert opcode in {TEXT, BINARY}, (opcode, data)
        return read_kind_4(data) if opcode == BINARY else read_text(data)

    def vanish(self) -> None:
        self.raw.socket.close()

    def wait_for_end(self) -> None:
        assert self.closed() == 1012

    def closed(self) -> int:
        """Read until the server closes, and return its code."""
        code, _ = self.goodbye()
        return code

    def goodbye(self) -> tuple[int, str]:
        opcode, data = self.raw.read_frames_until_close()[-1]
        assert opcode == CLOSE
        return int.from_bytes(data[:2], "big"), data[2:].decode()


@contextmanager
def realtime(dsn: str, *, path: str = "direct", ready: bool = True, **changed: Any) -> Iterator[RealtimeServer]:
    """Serve a database that `migrate` has prepared, until the block ends."""
    settings = Settings(**{"jwt_secret": SECRET, "refusal_delay_s": 0.0, **changed})
    started: list[tuple[NodeApp, asyncio.AbstractEventLoop]] = []

    @asynccontextmanager
    async def running() -> AsyncIterator[NodeApp]:
        async with assemble.running_app(settings, dsn) as app:
            started.append((app, asyncio.get_running_loop()))
            yield app

    with serving_app(LazyApp(running), path=path) as server:
        server.app, server.loop = started[0]
        server.node = server.app.node
        wait_until(lambda: not ready or server.get("/readyz").status == 200)
        yield server


@contextmanager
def serving_app(app: Callable[..., Any], *, path: str = "direct", **options: Any) -> Iterator[RealtimeServer]:
    """Run an application with its lifespan; at the end every thread and socket is gone."""
    with serving_as(RealtimeServer, app, ws=WEBSOCKET_CLASSES[path], **{"lifespan": "on", **options}) as server:
        yield server
