"""Packets that wait for the network, with the marks at which a connection is told to write less and then to go on."""

from collections import deque
from typing import Any

from tidewire.server.asgi_connection import PAUSE_BYTES, RESUME_BYTES
from tidewire.server.websocket_receiver import Receiver


class Backlog:
    """Set the `receiver` once there is one. What is taken counts as waiting until it is let go of."""

    __slots__ = ("_packets", "_paused", "receiver", "waiting_bytes")

    def __init__(self) -> None:
        self._packets: deque[Any] = deque()
        self._paused = False
        self.receiver: Receiver | None = None
        self.waiting_bytes = 0
        """What the network has not taken yet."""

    def __len__(self) -> int:
        return len(self._packets)

    def put(self, packet: Any) -> None:
        """Add a packet, which has a length in bytes."""
        self._packets.append(packet)
        self.waiting_bytes += len(packet)
        if self.waiting_bytes > PAUSE_BYTES and not self._paused:
            self._paused = True
            if self.receiver is not None:
                self.receiver.on_pause()

    def take(self, most_bytes: int) -> list[Any]:
        """Return the oldest packets: as many as fit, but one in any case. Then `let_go` of their size."""
        taken: list[Any] = []
        size = 0
        while self._packets and (not taken or size + len(self._packets[0]) <= most_bytes):
            taken.append(self._packets.popleft())
            size += len(taken[-1])
        return taken

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
