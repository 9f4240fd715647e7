"""A client that sends ready-made HTTP requests on one kept connection and looks at little more than the status.

It costs a few tens of microseconds a request, so that what is measured is the server. No pipelining, no redirects.
"""

import asyncio
from typing import Self, cast

from tidewire.model.errors import BenchmarkFailed

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class KeepAliveClient(asyncio.Protocol):
    """`connect`, then `ask` one request after the other, and `close`."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._received = b""

    @classmethod
    async def connect(cls, port: int) -> Self:
        """Open a connection to a server on this machine."""
        _, client = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return client

    async def ask(self, request: bytes, status: bytes) -> bytes:
        """Send a request and return the body of its answer. Raises BenchmarkFailed unless it has that status."""
        if self._transport is None:
            raise BenchmarkFailed("asking the data API: expected an open connection, got a closed one")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        answer = await self._answer
        if answer[9:12] != status:
            raise BenchmarkFailed(f"asking the data API: expected status {status.decode()}, got {answer[:300]!r}")
        return answer.partition(_HEAD_END)[2]

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head, end, body = received.partition(_HEAD_END)
        if not end or len(body) < _content_length(head):
            self._received = received
            return
        self._received = b""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(received)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(
                BenchmarkFailed("asking the data API: expected an answer, got the end of the connection")
            )


def _content_length(head: bytes) -> int:
    at = head.lower().find(_LENGTH)
    return int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def http_request(method: str, target: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Write a request as it goes over the wire."""
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body
