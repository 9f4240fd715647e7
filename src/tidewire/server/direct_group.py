"""Writes a packet to many connections that were taken over, with one call for all whose sockets are free.

Frames nothing and queues nothing: whatever is not simple goes through the connection's own `write`.
"""

from array import array
from collections.abc import Sequence
from itertools import compress
from typing import cast

from tidewire.hub.forms import Form, Group, Recipient
from tidewire.server import socket_writes
from tidewire.server.socket_writes import SendAll
from tidewire.server.websocket_connection import WebSocketConnection


class DirectGroup(Group):
    """Recipients whose packets are whole WebSocket frames, on connections of one event loop."""

    __slots__ = ("_connections", "_descriptors", "_send_all")

    def __init__(
        self, form: Form, recipients: Sequence[Recipient], *, send_all: SendAll = socket_writes.send_all
    ) -> None:
        super().__init__(form, recipients)
        self._send_all = send_all
        self._connections = [_connection_of(recipient) for recipient in recipients]
        self._descriptors = array("i", [-1 if each is None else each.descriptor for each in self._connections])

    def write(self, packet: bytes, start: int, stop: int) -> None:
        """Send to all whose turn has seen no write yet and for whom nothing waits; to the others in their own way.

        Until all descriptors have been written to, nothing is called that could close one: each was claimed for one
        write, its connection is held here, and sockets are closed on this thread only, even while it lets others run.
        """
        claimed, descriptors = self._connections[start:stop], self._descriptors[start:stop]
        free = [connection is not None and connection.claim() for connection in claimed]
        all_free = all(free)
        if not all_free:
            claimed, descriptors = list(compress(claimed, free)), array("i", compress(descriptors, free))
        if descriptors:
            for place, sent in self._send_all(descriptors, packet):
                cast("WebSocketConnection", claimed[place]).collect(packet[sent:])
        if not all_free:
            for recipient, was_claimed in zip(self.recipients[start:stop], free, strict=True):
                if not was_claimed:
                    recipient.write(packet)


def _connection_of(recipient: Recipient) -> WebSocketConnection | None:
    """Return whose `write` a recipient has: the outbox hands out the connection's own. None while it is slowed down."""
    owner = getattr(recipient.write, "__self__", None)
    return owner if isinstance(owner, WebSocketConnection) else None
