"""Writes a packet to many connections that were taken over, with one call for all whose sockets are free.

Frames nothing and queues nothing: whatever is not simple goes through the connection's own `write`.
"""

from collections.abc import Sequence

from tidewire.hub.forms import Form, Group, Recipient
from tidewire.server import socket_writes
from tidewire.server.socket_writes import SendAll
from tidewire.server.websocket_connection import WebSocketConnection


class DirectGroup(Group):
    """Recipients whose packets are whole WebSocket frames, on connections of one event loop."""

    __slots__ = ("_connections", "_send_all")

    def __init__(
        self, form: Form, recipients: Sequence[Recipient], *, send_all: SendAll = socket_writes.send_all
    ) -> None:
        super().__init__(form, recipients)
        self._send_all = send_all
        self._connections = [_connection_of(recipient) for recipient in recipients]

    def write(self, packet: bytes, start: int, stop: int) -> None:
        """Send to all whose turn has seen no write yet and for whom nothing waits; to the others in their own way.

        Until all descriptors have been written to, nothing is called that could close one: each was claimed for one
        write, its connection is held here, and sockets are closed on this thread only, even while it lets others run.
        """
        claimed: list[WebSocketConnection] = []
        descriptors: list[int] = []
        others: list[int] = []
        for place, connection in enumerate(self._connections[start:stop], start):
            descriptor = -1 if connection is None else connection.claim()
            if connection is None or descriptor < 0:
                others.append(place)
            else:
                claimed.append(connection)
                descriptors.append(descriptor)
        if descriptors:
            for index, sent in self._send_all(descriptors, packet):
                claimed[index].collect(packet[sent:])
        for place in others:
            self.recipients[place].write(packet)


def _connection_of(recipient: Recipient) -> WebSocketConnection | None:
    """Return whose `write` a recipient has: the outbox hands out the connection's own. None while it is slowed down."""
    owner = getattr(recipient.write, "__self__", None)
    return owner if isinstance(owner, WebSocketConnection) else None
