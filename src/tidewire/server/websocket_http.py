"""uvicorn's HTTP class with bounds on the head of a request, in time and in bytes, for `uvicorn.Config(http=…)`.

uvicorn waits without limit for the first request of a connection, and its fast parser takes headers of any size. Bodies
and keep-alive stay as uvicorn handles them.
"""

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tidewire.server.websocket_handshake import Refusal, refusal_response


class HttpProtocol(HttpToolsProtocol):
    """One connection until it becomes a WebSocket. Pass a subclass to change the limits."""

    head_limit_s: ClassVar[float] = 10.0
    head_limit_bytes: ClassVar[int] = 64 * 1024

    _head_deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_complete()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_deadline is not None and self._head_bytes > self.head_limit_bytes:
            self._hang_up(Refusal(431, f"expected headers of at most {self.head_limit_bytes} bytes"))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_deadline is None:  # a further request on the same connection
            self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_complete()
        super().on_headers_complete()

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

    def _hang_up(self, refusal: Refusal) -> None:
        self._head_complete()
        if not self.transport.is_closing():
            self.transport.write(refusal_response(refusal, self.server_state.default_headers))
            self.transport.close()
