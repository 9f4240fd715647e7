"""One WebSocket as an ASGI application sees it: connect, receive, send, disconnect, or a take-over that ends all that.

Lives while the application's task does. Reads no bytes itself: the connection reports to it, as to any receiver.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from enum import Enum
from typing import Any, Final
from urllib.parse import unquote

import structlog
from uvicorn.protocols.utils import ClientDisconnected

from tidewire.server.websocket_connection import WebSocketConnection
from tidewire.server.websocket_handshake import Handshake, Refusal, accept_response, http_response, refusal_response
from tidewire.server.websocket_receiver import Receiver
from tidewire.wire.websocket import BINARY, TEXT, encode_frame

log = structlog.get_logger()

EXTENSION: Final = "tidewire.websocket"
"""Where a scope's `extensions` hold the Conversation, so that an application can take the connection over."""

INBOX_LIMIT_BYTES: Final = 64 * 1024
"""What an application may leave unread before its peer is no longer read."""

TURN_LIMIT_BYTES: Final = 64 * 1024
"""What an application may send before others get a turn of the event loop."""

ASGIMessage = MutableMapping[str, Any]
Application = Callable[..., Awaitable[None]]

_NORMAL, _FAILED, _RESTART = 1000, 1011, 1012
_MESSAGE_OVERHEAD_BYTES = 300  # so that empty messages count as well


class _Phase(Enum):
    CONNECTING = "before an answer to the handshake"
    REFUSING = "in the middle of an HTTP response"
    ACCEPTED = "open"
    CLOSED = "closed by the application"
    TAKEN = "taken over"


class Conversation:
    """What `receive` and `send` of one application call talk to; also the extension object that offers `take_over`."""

    __slots__ = (
        "_arrived", "_connection", "_default_headers", "_end", "_handshake", "_inbox", "_inbox_bytes", "_phase",
        "_reading_paused", "_refusal", "_turn_bytes", "_writable",
    )  # fmt: skip

    def __init__(
        self, connection: WebSocketConnection, handshake: Handshake, default_headers: Iterable[tuple[bytes, bytes]]
    ) -> None:
        self._connection = connection
        self._handshake = handshake
        self._default_headers = list(default_headers)
        self._phase = _Phase.CONNECTING
        self._inbox: deque[ASGIMessage] = deque([{"type": "websocket.connect"}])
        self._inbox_bytes = _MESSAGE_OVERHEAD_BYTES
        self._reading_paused = False
        self._turn_bytes = 0
        self._end: ASGIMessage | None = None
        self._refusal: tuple[int, list[tuple[bytes, bytes]], bytearray] | None = None
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    async def run(self, application: Application, scope: dict[str, Any]) -> None:
        """Call the application, and end the connection with it unless it was taken over."""
        try:
            await application(scope, self.receive, self.send)
        except ClientDisconnected:
            pass  # the application wrote to a connection that is gone; it need not care
        except asyncio.CancelledError:
            self._leave(503, _RESTART)
            raise
        except Exception:
            log.exception("asgi_application_failed", path=scope["path"])
            self._leave(500, _FAILED)
        else:
            if self._phase in (_Phase.CONNECTING, _Phase.REFUSING) and self._end is None:
                log.error("asgi_application_left_handshake_open", path=scope["path"])
            self._leave(500, _NORMAL)

    @property
    def connection(self) -> WebSocketConnection:
        """What `take_over` returns, for a receiver that must know it from the start."""
        return self._connection

    def take_over(self, receiver: Receiver) -> WebSocketConnection:
        """Detach the accepted connection from this application call, which may then return: task and scope are freed.

        The receiver hears of everything from now on; what had already arrived comes with the loop's next turn.
        """
        if self._phase != _Phase.ACCEPTED:
            raise RuntimeError("taking a WebSocket over: expected one that was accepted, and not yet closed or taken")
        self._phase = _Phase.TAKEN
        self._arrived.set()  # whoever waits in receive must learn that nothing will come
        if self._inbox or self._end is not None:
            asyncio.get_running_loop().call_soon(self._hand_over, receiver)
        else:
            self._hand_over(receiver)
        return self._connection

    # --- for the application ------------------------------------------------------------------------------------

    async def receive(self) -> ASGIMessage:
        """Wait for the next message; after the disconnect it is repeated to whoever asks again."""
        while self._phase != _Phase.TAKEN:
            if self._inbox:
                message = self._inbox.popleft()
                self._inbox_bytes -= _size(message)
                if self._reading_paused and self._inbox_bytes < INBOX_LIMIT_BYTES // 2:
                    self._reading_paused = False
                    self._connection.resume_reading()
                return message
            if self._end is not None:
                return self._end
            self._arrived.clear()
            await self._arrived.wait()
        raise RuntimeError("receiving from a WebSocket: it was taken over")

    async def send(self, message: ASGIMessage) -> None:
        """Do what the message says. Waits while the peer does not keep up; raises OSError when it is gone."""
        kind = message["type"]
        if self._end is not None and self._phase not in (_Phase.CLOSED, _Phase.TAKEN):
            raise ClientDisconnected
        match self._phase, kind:
            case _Phase.CONNECTING, "websocket.accept":
                self._accept(message)
            case _Phase.CONNECTING, "websocket.close":
                self._refuse(403, [], b"")
            case _Phase.CONNECTING, "websocket.http.response.start":
                self._phase = _Phase.REFUSING
                self._refusal = (message["status"], list(message.get("headers", ())), bytearray())
            case _Phase.REFUSING, "websocket.http.response.body":
                self._collect_refusal(message)
            case _Phase.ACCEPTED, "websocket.send":
                await self._send(_frame_of(message))
            case _Phase.ACCEPTED, "websocket.close":
                self._connection.close(message.get("code") or _NORMAL, message.get("reason") or "")
                self._phase = _Phase.CLOSED
            case _:
                raise RuntimeError(f"sending {kind}: the WebSocket is {self._phase.value}")

    # --- for the connection -------------------------------------------------------------------------------------

    def on_text(self, data: bytes) -> None:
        self._put({"type": "websocket.receive", "text": data.decode()})

    def on_binary(self, data: bytes) -> None:
        self._put({"type": "websocket.receive", "bytes": data})

    def on_closed(self, code: int) -> None:
        self._end = {"type": "websocket.disconnect", "code": code, "reason": ""}
        self._arrived.set()
        self._writable.set()  # a lost connection never becomes writable; whoever waits must go on

    def on_pause(self) -> None:
        self._writable.clear()

    def on_resume(self) -> None:
        self._writable.set()

    # --- inside -------------------------------------------------------------------------------------------------

    def _put(self, message: ASGIMessage) -> None:
        self._inbox.append(message)
        self._inbox_bytes += _size(message)
        self._arrived.set()
        if self._inbox_bytes > INBOX_LIMIT_BYTES and not self._reading_paused:
            self._reading_paused = True
            self._connection.pause_reading()

    async def _send(self, frame: bytes) -> None:
        """Write, and let the loop turn now and then: a sender that never has to wait would never learn of a loss."""
        self._connection.write(frame)
        self._turn_bytes += len(frame) + _MESSAGE_OVERHEAD_BYTES
        if self._turn_bytes > TURN_LIMIT_BYTES:
            self._turn_bytes = 0
            await asyncio.sleep(0)
        await self._writable.wait()

    def _accept(self, message: ASGIMessage) -> None:
        headers = [*self._default_headers, *message.get("headers", ())]
        response = accept_response(self._handshake, message.get("subprotocol"), headers)
        self._phase = _Phase.ACCEPTED
        self._connection.open(response)

    def _collect_refusal(self, message: ASGIMessage) -> None:
        assert self._refusal is not None  # noqa: S101 - set with the phase; tells the type checker
        status, headers, body = self._refusal
        body += message.get("body", b"")
        if not message.get("more_body", False):
            self._refuse(status, headers, bytes(body))

    def _refuse(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        response = http_response(status, [*self._default_headers, *headers], body)
        self._phase = _Phase.CLOSED
        self._connection.refuse(response)

    def _leave(self, status: int, code: int) -> None:
        """End what the application left open: a handshake by an HTTP status, a connection by a close code."""
        if self._phase in (_Phase.CONNECTING, _Phase.REFUSING):
            self._connection.refuse(refusal_response(Refusal(status, "no answer"), self._default_headers))
        elif self._phase == _Phase.ACCEPTED:
            self._connection.close(code)
        if self._phase != _Phase.TAKEN:
            self._phase = _Phase.CLOSED

    def _hand_over(self, receiver: Receiver) -> None:
        for message in self._inbox:
            if self._end is None and not self._connection.is_open:
                break  # the receiver has closed it and expects nothing more
            if (text := message.get("text")) is not None:
                receiver.on_text(text.encode())
            elif (data := message.get("bytes")) is not None:
                receiver.on_binary(data)
        self._inbox.clear()
        if self._end is not None:
            receiver.on_closed(self._end["code"])
            return
        self._connection.hand_over(receiver)
        if self._reading_paused:
            self._connection.resume_reading()


def websocket_scope(handshake: Handshake, root_path: str) -> dict[str, Any]:
    """Describe the request the way ASGI does; the caller adds addresses, state and extensions."""
    raw_path, _, query = handshake.target.partition(b"?")
    return {
        "type": "websocket",
        "http_version": "1.1",
        "root_path": root_path,
        "path": root_path + unquote(raw_path.decode("ascii")),
        "raw_path": root_path.encode() + raw_path,
        "query_string": query,
        "headers": handshake.headers,
        "subprotocols": handshake.subprotocols,
    }


def _size(message: ASGIMessage) -> int:
    return len(message.get("text") or message.get("bytes") or b"") + _MESSAGE_OVERHEAD_BYTES


def _frame_of(message: ASGIMessage) -> bytes:
    data, text = message.get("bytes"), message.get("text")
    if data is not None:
        return encode_frame(BINARY, bytes(data))
    if text is not None:
        return encode_frame(TEXT, text.encode())
    raise RuntimeError("sending websocket.send: expected bytes or text, got neither")
