"""The WebSocket endpoint: a handshake becomes a client of the node, or is refused in words that clients know.

A connection of our own protocol class is taken over, and this call then ends; behind any other server the call stays
and carries the messages.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import parse_qsl

import structlog
from msgspec import Struct
from msgspec.json import encode

from tidewire.hub.connection import ClientConnection
from tidewire.hub.forms import Form
from tidewire.hub.node import Node
from tidewire.model.errors import TokenRefused
from tidewire.model.reasons import API_KEY_MISSING, RESTARTING, TOO_MANY_JOINS, TOO_MANY_USERS, Reason
from tidewire.ports import Outbox
from tidewire.server import forms
from tidewire.server.asgi_connection import AsgiConnection
from tidewire.server.direct_outbox import DirectOutbox
from tidewire.server.websocket_asgi import EXTENSION, Conversation
from tidewire.server.websocket_handshake import JSON_TYPE, Headers

log = structlog.get_logger()

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Scope = MutableMapping[str, Any]

MAX_PARAMETERS: Final = 100
MAX_WAITING_REFUSALS: Final = 1000
"""So many strangers wait for their refusal at once, at some 5 KiB each; the next ones get it without waiting."""

REFUSED: Final = 1008
_SESSION: Final = re.compile(r"[A-Za-z0-9._~-]{16,128}", re.ASCII)
"""Long enough that nobody hits upon another's by chance; characters that need no escapes in a URL."""
_STATUSES: Final = {
    TOO_MANY_USERS: HTTPStatus.TOO_MANY_REQUESTS,
    TOO_MANY_JOINS: HTTPStatus.TOO_MANY_REQUESTS,
    RESTARTING: HTTPStatus.SERVICE_UNAVAILABLE,
}


class Entry(Struct, frozen=True):
    """What a handshake asks for: the protocol's major version, who it is, and what a connection of it may resume."""

    version: int
    token: str
    session: str | None = None


class Refusal(Struct, frozen=True):
    """A handshake that is not accepted, and what to answer."""

    status: int
    message: str


class RealtimeDoor:
    """An ASGI application for scopes of type `websocket`."""

    def __init__(self, node: Node, *, refusal_delay_s: float, send_buffer_bytes: int, message_limit_bytes: int) -> None:
        """Hold refusals back for `refusal_delay_s`, so that clients without back-off cannot spin."""
        self._node = node
        self._refusal_delay_s = refusal_delay_s
        self._send_buffer_bytes = send_buffer_bytes
        self._message_limit_bytes = message_limit_bytes
        self._waiting_refusals = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect, the only event that may come first
        entry = read_entry(scope)
        refusal = entry if isinstance(entry, Refusal) else await self._objection(entry.token)
        if refusal is not None:
            await self._refuse(refusal, scope, send)
            return
        await send({"type": "websocket.accept"})
        await self._let_in(cast("Entry", entry), scope, receive, send)

    async def _objection(self, token: str) -> Refusal | None:
        """Return why nobody with this token may connect. Keys may have to be fetched, so room is looked for twice."""
        reason = self._node.refuses()
        if reason is None:
            try:
                await self._node.identify(token)
            except TokenRefused as error:
                return Refusal(HTTPStatus.UNAUTHORIZED, error.handshake)
            reason = self._node.refuses()
        return None if reason is None else _refusal(reason)

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

    async def _refuse(self, refusal: Refusal, scope: Scope, send: Send) -> None:
        """Answer after a pause."""
        log.info("handshake_refused", status=int(refusal.status), reason=refusal.message)
        if self._waiting_refusals < MAX_WAITING_REFUSALS:
            self._waiting_refusals += 1
            try:
                await asyncio.sleep(self._refusal_delay_s)
            finally:
                self._waiting_refusals -= 1
        await answer_handshake(scope, send, refusal.status, refusal.message)


async def answer_handshake(scope: Scope, send: Send, status: int, message: str, headers: Headers | None = None) -> None:
    """Refuse a handshake, with status and words where the server can pass them on."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": REFUSED, "reason": message})
        return
    start = {"type": "websocket.http.response.start", "status": int(status), "headers": [JSON_TYPE, *(headers or ())]}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": encode({"error": message})})


def read_entry(scope: Scope) -> Entry | Refusal:
    """Read the query and headers of a handshake. What else is in the query is ignored."""
    try:
        pairs = parse_qsl(scope["query_string"].decode(), max_num_fields=MAX_PARAMETERS)
    except ValueError:  # too many fields, or not UTF-8
        return Refusal(HTTPStatus.BAD_REQUEST, "The query cannot be read")
    query = dict(pairs)
    version = query.get("vsn", "1.0.0")
    if not (version.startswith(("1.0.", "2.0.")) and version[4:].isdecimal() and len(version) <= len("1.0.999")):
        return Refusal(HTTPStatus.FORBIDDEN, "The protocol version (vsn) must be 1.0.0 or 2.0.0")
    keys = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-api-key"]
    token = next((key for key in [*keys, query.get("apikey", "")] if key), "")
    if not token:
        return _refusal(API_KEY_MISSING)
    session = query.get("session")
    if session is not None and not _SESSION.fullmatch(session):
        return Refusal(HTTPStatus.BAD_REQUEST, "The session must be 16 to 128 letters, digits and ._~-")
    return Entry(int(version[0]), token, session)


def _refusal(reason: Reason) -> Refusal:
    return Refusal(_STATUSES.get(reason, HTTPStatus.UNAUTHORIZED), reason.message)
