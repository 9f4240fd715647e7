"""Packets that wait for the network, with the marks at which a connection is told to write less and then to go on."""

from collections import deque
from typing import Any, Final

from tidewire.server.websocket_receiver import Receiver

PAUSE_BYTES: Final = 64 * 1024
RESUME_BYTES: Final = 16 * 1024
"""The marks at which a transport of asyncio asks to write less, and then to go on."""


class Backlog:
    """Set the `receiver` once there is one. What is taken counts as waiting until it is let go of."""

    __slots__ = ("_packets", "_paused", "receiver", "waiting_bytes")

    def __init__(self) -> None:
        self._packets: deque[tuple[Any, int]] = deque()
        self._paused = False
        self.receiver: Receiver | None = None
        self.waiting_bytes = 0
        """What the network has not taken yet."""

    def __len__(self) -> int:
        return len(self._packets)

    def put(self, packet: Any, size: int) -> None:
        """Add a packet of so many bytes."""
        self._packets.append((packet, size))
        self.waiting_bytes += size
        if self.waiting_bytes > PAUSE_BYTES and not self._paused:
            self._paused = True
            if self.receiver is not None:
                self.receiver.on_pause()

    def take(self, most_bytes: int) -> tuple[list[Any], int]:
        """Return the oldest packets, as many as fit but one in any case, and their size, to `let_go` of later."""
        taken: list[Any] = []
        total = 0
        while self._packets and (not taken or total + self._packets[0][1] <= most_bytes):
            packet, size = self._packets.popleft()
            taken.append(packet)
            total += size
        return taken, total

    def let_go(self, size: int) -> None:
        """Say that so many bytes have been taken by the network."""
        self.waiting_bytes -= size
        if self._paused and self.waiting_bytes < RESUME_BYTES:
            self._paused = False
            if self.receiver is not None:
                self.receiver.on_resume()

    def drop(self) -> None:
        """Forget what waits, and the receiver: they refer to each other."""
        self._packets.clear()
        self.receiver = None
