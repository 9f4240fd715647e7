"""One WebSocket on an asyncio transport: bytes to calls of a receiver, frames to few large writes, and an end in time.

Knows neither HTTP nor ASGI. An idle connection has no task, queue or timer; while it closes it has one timer.
"""

import asyncio
import os
import socket
from socket import IPPROTO_TCP, SO_SNDBUF, SOL_SOCKET
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from typing import ClassVar, Final, cast

import structlog

from tidewire.server.websocket_coalescing import coalescer_of
from tidewire.server.websocket_farewells import farewells_of
from tidewire.server.websocket_receiver import Receiver
from tidewire.wire.websocket import (
    ABNORMAL,
    MESSAGE_LIMIT_BYTES,
    PONG,
    Binary,
    Close,
    Event,
    FrameParser,
    Ping,
    Text,
    Violation,
    encode_close,
    encode_frame,
)

log = structlog.get_logger()

CLOSE_LIMIT_S = 5.0
"""How long a peer may take to answer a close, and to read what was sent before it, until the socket is cut."""

COLLECTED_LIMIT_BYTES = 64 * 1024
"""What is collected in one turn before it goes out early: a writer that never lets the loop turn is bounded, too."""

TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)
"""What Linux knows of a connection; other systems have no such option."""
_ROUND_TRIP: Final = Struct("@I")
_ROUND_TRIP_AT: Final = 68
"""Where the smoothed round trip stands in `struct tcp_info`, in microseconds."""
_ROUND_TRIP_END: Final = _ROUND_TRIP_AT + _ROUND_TRIP.size

_HANDSHAKE, _OPEN, _CLOSING, _CLOSED = range(4)
_FAILED = 1011


class WebSocketConnection(asyncio.Protocol):
    """A connection. After take-over use `write`, `close` and `buffered_bytes`; the rest belongs to the handshake."""

    __slots__ = (
        "_coalescer",
        "_code",
        "_collected",
        "_collected_bytes",
        "_deadline",
        "_direct",
        "_farewells",
        "_fileno",
        "_late_ping",
        "_parser",
        "_receiver",
        "_state",
        "_transport",
        "_writing_paused",
        "_wrote_at",
    )

    message_limit_bytes: ClassVar[int] = MESSAGE_LIMIT_BYTES
    """Larger messages end the connection with 1009. Pass uvicorn a subclass to change it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._coalescer = coalescer_of(loop)
        self._farewells = farewells_of(loop)
        self._parser = FrameParser(limit_bytes=self.message_limit_bytes)
        self._receiver: Receiver | None = None
        self._transport: asyncio.Transport
        self._state = _HANDSHAKE
        self._code = ABNORMAL
        self._collected: list[bytes] | None = None  # None: the next turn's first write goes straight out
        self._wrote_at = -1
        self._fileno = -1
        self._direct = False  # nothing waits in the transport, as far as is known: not before the handshake is through
        self._collected_bytes = 0
        self._writing_paused = False
        self._late_ping: bytes | None = None
        self._deadline: asyncio.TimerHandle | None = None

    # --- for whoever holds the connection --------------------------------------------------------------------

    def write(self, frame: bytes) -> None:
        """Send a frame made by `encode_frame`. Never waits: look at `buffered_bytes` first. Dropped after a close."""
        if self._state != _OPEN:
            return
        coalescer = self._coalescer
        if self._collected is None:
            if self._wrote_at != coalescer.turn:
                self._wrote_at = coalescer.turn
                if not coalescer.due:
                    coalescer.wake()
                self._send(frame)
                return
            self._collected = []
            coalescer.visit(self)
        self._collected.append(frame)
        self._collected_bytes += len(frame)
        if self._collected_bytes > COLLECTED_LIMIT_BYTES:  # so that the transport sees it and asks for a pause
            self._send_collected()

    @property
    def descriptor(self) -> int:
        """The socket's, for as long as the connection is open; -1 if it cannot be written to directly."""
        return self._fileno

    def claim(self) -> bool:
        """Say whether you may write to `descriptor`, once and right now; if not, the frame must go through `write`.

        It stands for the turn's first `write`. What the socket does not take goes to `collect`, before anything else.
        """
        coalescer = self._coalescer
        if not self._direct or self._collected is not None or self._wrote_at == coalescer.turn or self._state != _OPEN:
            return False
        self._wrote_at = coalescer.turn
        if not coalescer.due:
            coalescer.wake()
        return True

    def collect(self, rest: bytes) -> None:
        """Send in the next turn what was left of a claimed write, and after it what is written in the meantime."""
        self._collected = [rest]
        self._collected_bytes = len(rest)
        self._coalescer.visit(self)

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye after all that was written. `on_closed` follows in CLOSE_LIMIT_S; closing again does nothing."""
        frame = encode_close(code, reason)
        if self._state == _OPEN:
            self._code = code
            self._end_with(frame)
            self.resume_reading()  # the peer's answer is to be seen

    @property
    def buffered_bytes(self) -> int:
        """Bytes written and not yet taken by the operating system. Close the connection when they are too many."""
        return self._collected_bytes + self._transport.get_write_buffer_size()

    def cut(self) -> None:
        """End a connection that does not let itself be closed; what was not sent yet is lost."""
        self._transport.abort()

    def limit_send_buffer(self, limit_bytes: int) -> None:
        """Bound what the operating system holds for a peer that does not read; it would grow to megabytes."""
        peer = self._transport.get_extra_info("socket")
        if peer is not None and not self._transport.is_closing():
            peer.setsockopt(SOL_SOCKET, SO_SNDBUF, limit_bytes)

    @property
    def round_trip_s(self) -> float | None:
        """How long a packet to the other end and its acknowledgement take: to a proxy's, where there is one."""
        peer = self._transport.get_extra_info("socket")
        if TCP_INFO is None or peer is None or self._transport.is_closing():
            return None
        try:
            (micros,) = _ROUND_TRIP.unpack_from(peer.getsockopt(IPPROTO_TCP, TCP_INFO, _ROUND_TRIP_END), _ROUND_TRIP_AT)
        except (OSError, StructError):  # no TCP, or a system that says less
            return None
        return micros / 1_000_000 or None

    @property
    def is_open(self) -> bool:
        """False before the handshake is accepted and as soon as either side has said goodbye."""
        return self._state == _OPEN

    @property
    def is_ending(self) -> bool:
        """True from the first goodbye on; what still arrives is only looked through for the peer's own."""
        return self._state > _OPEN

    # --- for the handshake ------------------------------------------------------------------------------------

    def open(self, response: bytes) -> None:
        """Accept the handshake with this response; from now on frames go both ways."""
        if self._state == _HANDSHAKE:
            self._state = _OPEN
            self._transport.write(response)

    def refuse(self, response: bytes) -> None:
        """Answer the handshake with this HTTP response and hang up."""
        if self._state == _HANDSHAKE:
            self._transport.write(response)
            self._hang_up()

    def hand_over(self, receiver: Receiver) -> None:
        """Report to this receiver from now on."""
        self._receiver = receiver
        if self._writing_paused:
            receiver.on_pause()

    def pause_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # --- for the event loop -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("socket")
        if peer is not None and transport.get_extra_info("sslcontext") is None:
            self._fileno = peer.fileno()

    def data_received(self, data: bytes) -> None:
        for event in self._parser.feed(data):
            try:
                self._handle(event)
            except Exception:  # a receiver's mistake costs its own connection, with a word to the peer
                log.exception("websocket_receiver_failed")
                self.close(_FAILED)

    def eof_received(self) -> bool | None:
        """The peer has hung up. A transport would close itself now, all of a crowd's in one turn; TLS insists on it."""
        self._hang_up()
        return self._fileno >= 0

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever broke it, it is over
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._end()

    def pause_writing(self) -> None:
        self._writing_paused = True
        if self._receiver is not None:
            self._receiver.on_pause()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._late_ping is not None:
            ping, self._late_ping = self._late_ping, None
            self.write(encode_frame(PONG, ping))
        if self._receiver is not None:
            self._receiver.on_resume()

    def flush(self) -> bool:
        """Send what was collected; stay in collecting mode while that saves writes."""
        busy = self._collected is not None and len(self._collected) > 1
        self._send_collected()
        self._collected = [] if busy else None
        return busy

    # --- what may happen ---------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        """Write to the socket while nothing waits before us; what it does not take goes through the transport.

        The transport's own way to the same system call costs as much as a third of that call. While the connection is
        open its socket is: transports report a loss before they close it.
        """
        if self._fileno < 0 or (not self._direct and self._transport.get_write_buffer_size()):
            self._transport.write(data)
            return
        self._direct = True
        try:
            sent = os.write(self._fileno, data)
        except OSError:  # full, or broken: the transport finds out
            sent = 0
        if sent != len(data):
            self._direct = False
            self._transport.write(data[sent:])

    def _send_collected(self) -> None:
        if frames := self._collected:
            self._collected = []
            self._collected_bytes = 0
            self._send(frames[0] if len(frames) == 1 else b"".join(frames))

    def _handle(self, event: Event) -> None:
        """Act on one event. A receiver may close the connection at any of them, so the state is asked each time."""
        if self._state != _OPEN:
            if isinstance(event, (Close, Violation)):
                self._hang_up()
        elif isinstance(event, Text):
            cast("Receiver", self._receiver).on_text(event.data)
        elif isinstance(event, Binary):
            cast("Receiver", self._receiver).on_binary(event.data)
        elif isinstance(event, Ping):
            self._answer_ping(event.data)
        elif isinstance(event, Close):
            self._code = event.code
            self._end_with(encode_close(event.code))
            self._hang_up()
        elif isinstance(event, Violation):
            self._code = event.code
            self._end_with(encode_close(event.code, event.reason))
            self._hang_up_gently()

    def _answer_ping(self, data: bytes) -> None:
        """A peer that sends pings and reads nothing gets only the last one answered, so that answers do not pile up."""
        if self._writing_paused:
            self._late_ping = data
        else:
            self.write(encode_frame(PONG, data))

    def _end_with(self, frame: bytes) -> None:
        self.flush()
        self._collected = None
        self._state = _CLOSING
        self._transport.write(frame)
        self._limit_closing()

    def _hang_up(self) -> None:
        """Send and say nothing more from now on; close the socket once everything is sent."""
        if self._fileno < 0 or self._transport.get_write_buffer_size():  # TLS has its own goodbye to wait for
            self._limit_closing()
        self._end()

    def _hang_up_gently(self) -> None:
        """Let a peer that is still sending read our close: closing over unread bytes would reset the connection."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self.resume_reading()
            self._farewells.tell(self._part)
        else:
            self._hang_up()

    def _end(self) -> None:
        if self._state != _CLOSED:
            self._state = _CLOSED
            self._collected = None
            self._collected_bytes = 0
            self._farewells.tell(self._part)

    def _limit_closing(self) -> None:
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(CLOSE_LIMIT_S, self._transport.abort)

    def _part(self) -> None:
        """Do what takes time at the end, when it is our turn: close the socket, unless it is still read, and tell.

        Whoever is the receiver by now is told: an application may have taken over while this waited.
        """
        receiver, self._receiver = self._receiver, None
        if self._state == _CLOSED and not self._transport.is_closing():
            self._transport.close()
        if receiver is not None:
            receiver.on_closed(self._code)
