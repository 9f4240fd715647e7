"""The outbox of a connection that was taken over: packets are whole frames and go straight to the transport."""

from collections.abc import Callable

from tidewire.server.websocket_connection import WebSocketConnection


class DirectOutbox:
    """Satisfies `ports.Outbox`. `write` is the connection's own, so that nothing is paid between hub and socket."""

    __slots__ = ("_connection", "write")

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection
        self.write: Callable[[bytes], None] = connection.write

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the operating system has not taken yet."""
        return self._connection.buffered_bytes

    @property
    def round_trip_s(self) -> float | None:
        """As the operating system measures it."""
        return self._connection.round_trip_s

    def close(self, code: int, reason: str) -> None:
        """Close after what was written; the receiver's `on_closed` follows within a few seconds."""
        self._connection.close(code, reason)
