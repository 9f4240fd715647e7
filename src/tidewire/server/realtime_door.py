"""The WebSocket endpoint: a handshake becomes a client of the node, or is refused in words that clients know.

A connection of our own protocol class is taken over, and this call then ends; behind any other server the call stays
and carries the messages.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from msgspec.json import encode

from tidewire.hub.connection import ClientConnection
from tidewire.hub.forms import Form
from tidewire.hub.node import Node
from tidewire.ports import Outbox
from tidewire.server import forms
from tidewire.server.asgi_connection import AsgiConnection
from tidewire.server.direct_outbox import DirectOutbox
from tidewire.server.doorkeeper import Doorkeeper, Entry, Refusal, read_entry
from tidewire.server.websocket_asgi import EXTENSION, Conversation
from tidewire.server.websocket_handshake import JSON_TYPE, Headers

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Scope = MutableMapping[str, Any]

REFUSED: Final = 1008


class RealtimeDoor:
    """An ASGI application for scopes of type `websocket`."""

    def __init__(self, node: Node, doorkeeper: Doorkeeper, *, send_buffer_bytes: int, message_limit_bytes: int) -> None:
        self._node = node
        self._doorkeeper = doorkeeper
        self._send_buffer_bytes = send_buffer_bytes
        self._message_limit_bytes = message_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect, the only event that may come first
        admitted = await self._doorkeeper.admit(read_entry(scope))
        if isinstance(admitted, Refusal):
            await answer_handshake(scope, send, admitted.status, admitted.message)
            return
        await send({"type": "websocket.accept"})
        await self._let_in(admitted, scope, receive, send)

    async def _let_in(self, entry: Entry, scope: Scope, receive: Receive, send: Send) -> None:
        conversation: Conversation | None = (scope.get("extensions") or {}).get(EXTENSION)
        if conversation is not None:
            connection = conversation.connection
            connection.limit_send_buffer(self._send_buffer_bytes)
            client = self._connect(DirectOutbox(connection), forms.DIRECT[entry.version], entry)
            conversation.take_over(client)
        else:
            outbox = AsgiConnection(receive, send, message_limit_bytes=self._message_limit_bytes)
            await outbox.run(self._connect(outbox, forms.ASGI[entry.version], entry))

    def _connect(self, outbox: Outbox, form: Form, entry: Entry) -> ClientConnection:
        return self._node.connect(outbox, form, token=entry.token, resumes=entry.session)


async def answer_handshake(scope: Scope, send: Send, status: int, message: str, headers: Headers | None = None) -> None:
    """Refuse a handshake, with status and words where the server can pass them on."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": REFUSED, "reason": message})
        return
    start = {"type": "websocket.http.response.start", "status": int(status), "headers": [JSON_TYPE, *(headers or ())]}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": encode({"error": message})})
