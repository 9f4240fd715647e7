"""uvicorn's HTTP class with bounds in time and in bytes, for `uvicorn.Config(http=…)`: on the head of a request, and on
what still comes of a body after the answer.

uvicorn waits without limit for the first request of a connection, for the rest of a body that nobody reads and for
whoever does not read, such as the far end of a stream that has vanished. Its fast parser takes headers of any size.
Bodies that are read are for the application to bound.
"""

import asyncio
import socket
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tidewire.server.websocket_handshake import Refusal, refusal_response


class HttpProtocol(HttpToolsProtocol):
    """One connection until it becomes a WebSocket. Pass a subclass to change the limits."""

    head_limit_s: ClassVar[float] = 10.0
    head_limit_bytes: ClassVar[int] = 64 * 1024
    rest_limit_s: ClassVar[float] = 5.0
    rest_limit_bytes: ClassVar[int] = 8 * 2**20
    """What is thrown away of a body that was refused. Hanging up at once would take the answer away from its client."""
    unread_limit_s: ClassVar[float] = 60.0
    """How long the peer may leave unread what was sent to it before the operating system ends the connection."""

    _head_deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _rest_deadline: asyncio.TimerHandle | None = None
    _rest_bytes = 0
    _is_in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        limit_unread(transport, self.unread_limit_s)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_complete()
        self._rest_complete()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_deadline is not None and self._head_bytes > self.head_limit_bytes:
            self._hang_up(Refusal(431, f"expected headers of at most {self.head_limit_bytes} bytes"))
        if self._rest_deadline is not None:
            self._rest_bytes += len(data)
            if self._rest_bytes > self.rest_limit_bytes:
                self._rest_is_too_much()

    def on_message_begin(self) -> None:
        self._unset_keepalive_if_required()
        super().on_message_begin()
        if self._head_deadline is None:  # a further request on the same connection
            self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_complete()
        self._is_in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_body = False
        super().on_message_complete()
        if self._rest_deadline is not None:
            self._rest_complete()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_in_body and self.cycle.response_complete and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._rest_bytes = 0
            self._rest_deadline = self.loop.call_later(self.rest_limit_s, self._rest_is_too_much)

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        # Parser and protocol refer to each other; parted, both are freed now and not at some later collection.
        self.parser: Any = None

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._head_deadline = self.loop.call_later(self.head_limit_s, self._head_is_late)

    def _head_complete(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _head_is_late(self) -> None:
        self._hang_up(Refusal(408, f"expected a request within {self.head_limit_s:g} s"))

    def _rest_complete(self) -> None:
        if self._rest_deadline is not None:
            self._rest_deadline.cancel()
            self._rest_deadline = None

    def _rest_is_too_much(self) -> None:
        self._rest_complete()
        if not self.transport.is_closing():
            self.transport.close()

    def _hang_up(self, refusal: Refusal) -> None:
        self._head_complete()
        if not self.transport.is_closing():
            self.transport.write(refusal_response(refusal, self.server_state.default_headers))
            self.transport.close()


def limit_unread(transport: asyncio.Transport, limit_s: float) -> None:
    """Bound it where the operating system can; elsewhere its own patience counts, which is a quarter of an hour."""
    sock = transport.get_extra_info("socket")
    if hasattr(socket, "TCP_USER_TIMEOUT") and sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limit_s * 1000))
