"""A WebSocket behind any ASGI server: its outbox, and the two loops that carry messages between server and receiver.

Slower than a connection that was taken over, and the same to whoever is connected. Lives in the application's call.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, Final

import structlog

from tidewire.hub.tasks import Tasks
from tidewire.server.backlog import Backlog
from tidewire.server.websocket_connection import CLOSE_LIMIT_S
from tidewire.server.websocket_receiver import Receiver
from tidewire.wire.websocket import ABNORMAL, NO_CODE, TOO_BIG

log = structlog.get_logger()

_FAILED: Final = 1011

Event = MutableMapping[str, Any]


class AsgiConnection:
    """Satisfies `ports.Outbox`. Make the receiver, then `run` with it; only that call sends and reads."""

    def __init__(
        self,
        receive: Callable[[], Awaitable[Event]],
        send: Callable[[Event], Awaitable[None]],
        *,
        message_limit_bytes: int,
    ) -> None:
        self._receive = receive
        self._send = send
        self._message_limit_bytes = message_limit_bytes
        self._backlog = Backlog()
        self._arrived = asyncio.Event()
        self._goodbye: Event | None = None
        self._give_up_at: float | None = None
        self._patience: asyncio.Timeout | None = None
        self._code = ABNORMAL

    # --- for whoever writes --------------------------------------------------------------------------------

    @property
    def waiting_bytes(self) -> int:
        """Characters and bytes that the server has not taken yet."""
        return self._backlog.waiting_bytes

    @property
    def round_trip_s(self) -> None:
        """Not known: the application that we are mounted in holds the socket."""

    def write(self, packet: Event) -> None:
        """Send an event; it is shared by all connections that get it. Dropped after a close."""
        if self._goodbye is not None:
            return
        self._backlog.put(packet, event_size(packet))
        self._arrived.set()

    def close(self, code: int, reason: str) -> None:
        """Close after what was written; `on_closed` follows in CLOSE_LIMIT_S. Closing again does nothing."""
        if self._goodbye is None:
            self._code = code
            self._goodbye = {"type": "websocket.close", "code": code, "reason": reason}
            self._arrived.set()
            self._limit()

    # --- for the door --------------------------------------------------------------------------------------

    async def run(self, receiver: Receiver) -> None:
        """Carry messages both ways until the connection has ended, then tell the receiver, once."""
        self._backlog.receiver = receiver
        try:
            with suppress(TimeoutError):  # raised by our own limit: a peer that does not let itself be closed
                async with asyncio.timeout_at(self._give_up_at) as self._patience, Tasks() as tasks:
                    tasks.start(self._carry(), name="websocket sender")
                    await self._read(receiver)
        finally:
            self._patience = None
            self._backlog.drop()
            receiver.on_closed(self._code)

    async def _read(self, receiver: Receiver) -> None:
        while True:
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                if self._goodbye is None:
                    self._code = event.get("code") or NO_CODE
                return
            if self._goodbye is None:
                self._pass_on(event, receiver)

    def _pass_on(self, event: Event, receiver: Receiver) -> None:
        text, data = event.get("text"), event.get("bytes")
        try:
            message = text.encode() if text is not None else bytes(data or b"")
            if len(message) > self._message_limit_bytes:
                self.close(TOO_BIG, f"message over {self._message_limit_bytes} bytes")
            elif text is not None:
                receiver.on_text(message)
            else:
                receiver.on_binary(message)
        except Exception:  # a receiver's mistake costs its own connection, with a word to the peer
            log.exception("websocket_receiver_failed")
            self.close(_FAILED, "")

    async def _carry(self) -> None:
        """Send what is written, in order, and the goodbye when it comes."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._backlog:
                    (packet,), size = self._backlog.take(0)
                    await self._send(packet)
                    self._backlog.let_go(size)
                if self._goodbye is not None:
                    await self._send(self._goodbye)
                    return
        except Exception as error:  # noqa: BLE001 - what servers raise when the peer is gone differs; it is gone
            log.debug("websocket_send_failed", reason=type(error).__name__)
            self._goodbye = self._goodbye or {"type": "websocket.close"}
            self._limit()

    def _limit(self) -> None:
        if self._give_up_at is None:
            self._give_up_at = asyncio.get_running_loop().time() + CLOSE_LIMIT_S
            if self._patience is not None:
                self._patience.reschedule(self._give_up_at)


def event_size(event: Event) -> int:
    """Return how many characters or bytes an event carries."""
    return len(event.get("text") or event.get("bytes") or b"")
