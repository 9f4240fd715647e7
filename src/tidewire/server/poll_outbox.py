"""The outbox of a client that asks again and again: packets wait for its next poll, and for being acknowledged.

Every answer with messages has a number. A poll says which answer came last: what that one held is dropped, and what a
poll does not acknowledge it gets again, under the same number. So an answer that is lost costs nothing, and a client
that passes over a number which it has seen already hears nothing twice.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from msgspec import Struct

from tidewire.server.backlog import Backlog
from tidewire.server.websocket_connection import CLOSE_LIMIT_S
from tidewire.server.websocket_receiver import LiveReceiver
from tidewire.wire.websocket import ABNORMAL

ANSWER_BYTES: Final = 256 * 1024
"""What an answer holds at most, but for one message that is larger."""


class Polled(Struct, frozen=True):
    """What a poll is answered with: messages as JSON strings, maybe none; if `is_over`, none will ever come."""

    number: int
    messages: tuple[bytes, ...] = ()
    is_over: bool = False


class PollOutbox:
    """Satisfies `ports.Outbox`. Make the receiver and `begin`; the session is over when nobody polls for `gap_s`."""

    def __init__(self, *, gap_s: float, forget: Callable[[], None]) -> None:
        """`forget` is called at the end, when no poll can find anything any more."""
        self._loop = asyncio.get_running_loop()
        self._gap_s = gap_s
        self._forget = forget
        self._backlog = Backlog()
        self._told: tuple[bytes, ...] = ()
        self._told_bytes = 0
        self._number = 0
        self._polls = 0
        self._arrived = asyncio.Event()
        self._receiver: LiveReceiver | None = None
        self._is_closing = False
        self._end: asyncio.TimerHandle | None = None

    # --- for whoever writes --------------------------------------------------------------------------------

    @property
    def waiting_bytes(self) -> int:
        """Bytes that were not acknowledged yet."""
        return self._backlog.waiting_bytes

    @property
    def round_trip_s(self) -> None:
        """Not known: there is no connection between two polls."""

    def write(self, packet: bytes) -> None:
        """Keep a packet for the next answer. Dropped after a close."""
        if not self._is_closing:
            self._backlog.put(packet, len(packet))
            self._arrived.set()

    def close(self, code: int, reason: str) -> None:  # noqa: ARG002 - the protocol of polls knows no reasons
        """End the session: polls get what was written before, then that it is over. Closing again does nothing."""
        if not self._is_closing:
            self._is_closing = True
            self._arrived.set()
            self._await_poll()
            self._loop.call_soon(self._tell_closed, code)  # the receiver is in the middle of something now

    # --- for the door --------------------------------------------------------------------------------------

    @property
    def receiver(self) -> LiveReceiver | None:
        """Who takes what the client says; nobody once the session is over."""
        return self._receiver

    def begin(self, receiver: LiveReceiver) -> None:
        """Start waiting for the first poll."""
        self._receiver = self._backlog.receiver = receiver
        self._await_poll()

    async def poll(self, seen: int, *, wait_s: float) -> Polled:
        """Return what is to be told after the answer `seen`, or nothing after a while, or when the next poll comes."""
        if not self._number - 1 <= seen <= self._number:
            return Polled(self._number, is_over=True)
        if seen == self._number:
            self._backlog.let_go(self._told_bytes)
            self._told, self._told_bytes = (), 0
        self._polls += 1
        place = self._polls
        self._arrived.set()  # whoever polled before has gone, or is no longer interested
        try:
            await self._wait(wait_s)
        finally:
            if place == self._polls:
                self._await_poll()
        if place != self._polls:
            return Polled(self._number)
        if not self._told and self._backlog:
            packets, self._told_bytes = self._backlog.take(ANSWER_BYTES)
            self._told = tuple(packets)
            self._number += 1
        return Polled(self._number, self._told, is_over=self._is_closing and not self._told)

    async def _wait(self, wait_s: float) -> None:
        """Wait for something to tell, while no time runs out."""
        if self._end is not None:
            self._end.cancel()
        if self._receiver is not None:
            self._receiver.on_alive()
        if not (self._told or self._backlog or self._is_closing):
            self._arrived = arrived = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await arrived.wait()
        if self._receiver is not None:
            self._receiver.on_alive()

    def _await_poll(self) -> None:
        if self._end is not None:
            self._end.cancel()
        # What a session that is closed still holds counts nowhere any more, so it is held for a moment only.
        gap_s = min(self._gap_s, CLOSE_LIMIT_S) if self._is_closing else self._gap_s
        self._end = self._loop.call_later(gap_s, self._give_up)

    def _give_up(self) -> None:
        self._is_closing = True
        self._tell_closed(ABNORMAL)
        self._backlog.drop()
        self._forget()

    def _tell_closed(self, code: int) -> None:
        receiver, self._receiver = self._receiver, None
        self._backlog.receiver = None
        if receiver is not None:
            receiver.on_closed(code)
