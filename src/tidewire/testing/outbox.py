"""An Outbox that keeps what was written: the far end of a connection, for tests and for measuring."""

from typing import Any


class RecordingOutbox:
    """Read `packets` and `closed`; set `waiting_bytes` to play a client that reads slowly."""

    def __init__(self) -> None:
        self.packets: list[Any] = []
        self.closed: tuple[int, str] | None = None
        self.waiting_bytes = 0
        self.round_trip_s: float | None = None

    def write(self, packet: Any, /) -> None:
        if self.closed is None:
            self.packets.append(packet)

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)
