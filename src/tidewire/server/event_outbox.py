"""The outbox of an event stream: what is written becomes the body of an answer that does not end.

Lives in the call of the request that opened it. Comments keep the way open, and tell by being taken that somebody is
there; a peer that takes nothing is closed as idle.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from msgspec.json import encode

from tidewire.hub.tasks import Tasks
from tidewire.server.backlog import Backlog
from tidewire.server.websocket_connection import CLOSE_LIMIT_S
from tidewire.server.websocket_receiver import LiveReceiver, hand_in
from tidewire.wire.bookmarks import Bookmarks
from tidewire.wire.event_stream import HEARTBEAT, StreamEvent, named_event, only_id, padding, with_id
from tidewire.wire.message import Frame
from tidewire.wire.websocket import ABNORMAL

log = structlog.get_logger()

Event = MutableMapping[str, Any]

HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),  # the second keeps proxies from compressing, which means gathering
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
)
CHUNK_BYTES: Final = 64 * 1024


class EventOutbox:
    """Satisfies `ports.Outbox`. Make the receiver, then `run` with it; only that call sends."""

    def __init__(self, bookmarks: Bookmarks, *, heartbeat_s: float, least_bytes: int) -> None:
        """Say where the client stands every `heartbeat_s`, or at least that we are there when nothing else was sent.

        Never less than `least_bytes` are sent at once.
        """
        self._bookmarks = bookmarks
        self._heartbeat_s = heartbeat_s
        self._least_bytes = least_bytes
        self._backlog = Backlog()
        self._arrived = asyncio.Event()
        self._code = ABNORMAL
        self._is_closing = False
        self._give_up_at: float | None = None
        self._patience: asyncio.Timeout | None = None

    # --- for whoever writes --------------------------------------------------------------------------------

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the server has not taken yet."""
        return self._backlog.waiting_bytes

    @property
    def round_trip_s(self) -> None:
        """Not known: the HTTP server holds the socket."""

    def write(self, event: StreamEvent) -> None:
        """Send an event with the id that it has in this stream. Dropped after a close."""
        id_ = None if event.message is None else self._bookmarks.note(event.message)
        self.say(event.text if id_ is None else with_id(id_, event.text))

    def say(self, text: bytes) -> None:
        """Send what is no message."""
        if not self._is_closing:
            self._backlog.put(text, len(text))
            self._arrived.set()

    def close(self, code: int, reason: str) -> None:
        """End the stream after what was written, with an event that says why. Closing again does nothing."""
        if not self._is_closing:
            self._code = code
            self.say(goodbye(code, reason))
            self._hang_up()

    # --- for the door --------------------------------------------------------------------------------------

    async def run(
        self,
        receiver: LiveReceiver,
        receive: Callable[[], Awaitable[Event]],
        send: Callable[[Event], Awaitable[None]],
        said: Sequence[Frame] = (),
    ) -> None:
        """Send until the stream has ended or nobody is there, then tell the receiver, once.

        What the client `said` already, the receiver hears first.
        """
        self._backlog.receiver = receiver
        try:
            hand_in(receiver, said)
            with suppress(TimeoutError):  # raised by our own limit: a peer that takes nothing, not even the end
                async with asyncio.timeout_at(self._give_up_at) as self._patience, Tasks() as tasks:
                    tasks.start(self._carry(receiver, send), name="event stream")
                    while (await receive())["type"] != "http.disconnect":
                        pass
        finally:
            self._is_closing = True
            self._patience = None
            self._backlog.drop()
            receiver.on_closed(self._code)

    async def _carry(self, receiver: LiveReceiver, send: Callable[[Event], Awaitable[None]]) -> None:
        """Send what is written, in order, and comments when there is nothing."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            signed_s = 0.0
            while self._backlog or not self._is_closing:
                is_quiet = not await self._something()
                now_s = asyncio.get_running_loop().time()
                if is_quiet or now_s >= signed_s + self._heartbeat_s:
                    signed_s = now_s
                    self._sign(receiver, is_quiet=is_quiet)
                while self._backlog:
                    texts, size = self._backlog.take(CHUNK_BYTES)
                    body = self._padded(b"".join(texts))
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                    self._backlog.let_go(size)
                receiver.on_alive()
            await send({"type": "http.response.body", "body": b""})
        except Exception as error:  # noqa: BLE001 - what servers raise when the peer is gone differs; it is gone
            log.debug("event_stream_failed", reason=type(error).__name__)
            self._hang_up()

    def _sign(self, receiver: LiveReceiver, *, is_quiet: bool) -> None:
        """Say how far the client has come without any change, or if that is known, only that we are there."""
        id_ = None if self._is_closing else self._bookmarks.advance(receiver.positions())
        if id_ is not None or is_quiet:
            text = HEARTBEAT if id_ is None else only_id(id_)
            self._backlog.put(text, len(text))

    async def _something(self) -> bool:
        """Wait for something to send, but no longer than for a heartbeat."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._heartbeat_s):
                await self._arrived.wait()
        is_there = self._arrived.is_set()
        self._arrived.clear()
        return is_there

    def _padded(self, text: bytes) -> bytes:
        return text if len(text) >= self._least_bytes else text + padding(self._least_bytes - len(text))

    def _hang_up(self) -> None:
        self._is_closing = True
        self._arrived.set()
        if self._give_up_at is None:
            self._give_up_at = asyncio.get_running_loop().time() + CLOSE_LIMIT_S
            if self._patience is not None:
                self._patience.reschedule(self._give_up_at)


def goodbye(code: int, reason: str) -> bytes:
    """Write the event that ends a stream."""
    return named_event("close", encode({"code": code, "reason": reason}))
