"""A WebSocket peer that can misbehave: frames built by hand, a raw socket, and uvicorn with our classes in a thread."""

import asyncio
import itertools
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import uvicorn
from websockets.utils import apply_mask

from tests.support.waiting import wait_until
from tidewire.server.websocket import Protocol
from tidewire.server.websocket_http import HttpProtocol

FIN, MASKED = 0x80, 0x80
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
LIMIT_S = 10.0
LOOK_S = 0.01


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, mask: bytes | None = MASK
) -> bytes:
    """Build what a client sends; `reserved` are the bits 0x40, 0x20 and 0x10 of the first byte."""
    first = (FIN if fin else 0) | reserved | opcode
    masked = MASKED if mask is not None else 0
    size = len(payload)
    if size < 126:
        head = bytes((first, masked | size))
    elif size < 1 << 16:
        head = struct.pack(">BBH", first, masked | 126, size)
    else:
        head = struct.pack(">BBQ", first, masked | 127, size)
    return head + payload if mask is None else head + mask + apply_mask(payload, mask)


def close_payload(code: int, reason: bytes = b"") -> bytes:
    return struct.pack(">H", code) + reason


def upgrade_request(path: str = "/echo", **changed: bytes | None) -> bytes:
    """A handshake; headers are changed or added by name, with _ for -, and left out where the value is None."""
    headers: dict[str, bytes | None] = {
        "host": b"localhost",
        "upgrade": b"websocket",
        "connection": b"Upgrade",
        "sec-websocket-key": KEY,
        "sec-websocket-version": b"13",
    }
    for name, value in changed.items():
        headers[name.replace("_", "-")] = value
    lines = [f"GET {path} HTTP/1.1".encode()]
    lines += [name.encode() + b": " + value for name, value in headers.items() if value]
    return b"\r\n".join([*lines, b"", b""])


class RawClient:
    """A blocking socket that reads whole frames and keeps what it has not looked at."""

    def __init__(self, port: int, *, trust: ssl.SSLContext | None = None) -> None:
        """Connect, over TLS if told whom to trust."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        if trust is not None:
            self.socket = trust.wrap_socket(self.socket, server_hostname="localhost")
        self.unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def upgrade(self, path: str = "/echo", **headers: bytes) -> bytes:
        """Shake hands and return the response head, which must accept."""
        self.send(upgrade_request(path, **headers))
        head = self.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return head

    def read_until(self, end: bytes) -> bytes:
        while end not in self.unread:
            self.unread += self.receive()
        found, _, self.unread = self.unread.partition(end)
        return found + end

    def receive(self) -> bytes:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        return data

    def exactly(self, size: int) -> bytes:
        while len(self.unread) < size:
            self.unread += self.receive()
        found, self.unread = self.unread[:size], self.unread[size:]
        return found

    def read_frame(self) -> tuple[int, bytes]:
        """Return opcode and payload; a server's frames are whole and not masked."""
        first, second = self.exactly(2)
        assert first & 0xF0 == FIN, first
        assert not second & MASKED
        size = second
        if size == 126:
            (size,) = struct.unpack(">H", self.exactly(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self.exactly(8))
        return first & 0x0F, self.exactly(size)

    def read_all(self) -> bytes:
        """Return everything up to the end of the stream; a reset counts as an end."""
        try:
            while True:
                self.unread += self.receive()
        except (EOFError, ConnectionResetError):
            found, self.unread = self.unread, b""
            return found

    def read_frames(self) -> list[tuple[int, bytes]]:
        """Return all frames up to the end of the stream."""
        frames = []
        try:
            while True:
                frames.append(self.read_frame())
        except EOFError:
            return frames

    def read_frames_until_close(self) -> list[tuple[int, bytes]]:
        """Return all frames including the close, without waiting for the end of the stream."""
        frames = [self.read_frame()]
        while frames[-1][0] != CLOSE:
            frames.append(self.read_frame())
        return frames


class RunningServer(uvicorn.Server):
    """uvicorn on a loopback port, in a thread of its own."""

    port: int

    async def main_loop(self) -> None:
        """Look more often than uvicorn does whether it is over: tests wait for the end of hundreds of servers."""
        for tick in itertools.count():
            if await self.on_tick(tick):
                return
            await asyncio.sleep(LOOK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Leave out the tenth of a second that uvicorn gives its connections, where there are none."""
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for each in (*self.servers, *(sockets or ())):
            each.close()
        await self.lifespan.shutdown()

    @property
    def open_connections(self) -> int:
        return len(self.server_state.connections)

    @property
    def running_tasks(self) -> int:
        return len(self.server_state.tasks)


Server = TypeVar("Server", bound=RunningServer)


@contextmanager
def serving(app: Callable[..., Any], **options: Any) -> Iterator[RunningServer]:
    """Serve an ASGI application with our classes, or others, until the block ends."""
    with serving_as(RunningServer, app, **options) as server:
        yield server


@contextmanager
def serving_as(kind: type[Server], app: Callable[..., Any], **options: Any) -> Iterator[Server]:
    """Do the same with a server of your own kind. At the end every thread and socket is gone."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        usual = {"ws": Protocol, "http": HttpProtocol, "loop": "uvloop", "lifespan": "off", "proxy_headers": False}
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5, **{**usual, **options})
        server = kind(config)
        server.port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="uvicorn")
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            yield server
        finally:
            server.should_exit = True
            thread.join(LIMIT_S)
        assert not thread.is_alive(), "the server did not stop"
