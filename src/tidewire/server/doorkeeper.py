"""Decides with the node who may connect, by whatever transport, and holds refusals back. Answers nothing itself."""

import asyncio
import re
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

import structlog
from msgspec import Struct

from tidewire.hub.node import Node
from tidewire.model.errors import TokenRefused
from tidewire.model.reasons import API_KEY_MISSING, RESTARTING, TOO_MANY_JOINS, TOO_MANY_USERS, Reason

log = structlog.get_logger()

MAX_PARAMETERS: Final = 100
MAX_WAITING_REFUSALS: Final = 1000
"""So many strangers wait for their refusal at once, at some 5 KiB each; the next ones get it without waiting."""

_SESSION: Final = re.compile(r"[A-Za-z0-9._~-]{16,128}", re.ASCII)
"""Long enough that nobody hits upon another's by chance; characters that need no escapes in a URL."""
_STATUSES: Final = {
    TOO_MANY_USERS: HTTPStatus.TOO_MANY_REQUESTS,
    TOO_MANY_JOINS: HTTPStatus.TOO_MANY_REQUESTS,
    RESTARTING: HTTPStatus.SERVICE_UNAVAILABLE,
}


class Entry(Struct, frozen=True):
    """What somebody who wants to connect asks for: the protocol's major version, who it is, and all of the query.

    `session` names what a connection of it may resume.
    """

    version: int
    token: str
    query: dict[str, str]
    session: str | None = None

    def __repr__(self) -> str:
        return f"Entry(version={self.version})"  # the rest holds secrets


class Refusal(Struct, frozen=True):
    """Somebody who is not let in, and what to answer."""

    status: int
    message: str


class Doorkeeper:
    """One for all doors of a node: strangers share the room in which they wait."""

    def __init__(self, node: Node, *, refusal_delay_s: float) -> None:
        """Hold refusals back for `refusal_delay_s`, so that clients without back-off cannot spin."""
        self._node = node
        self._refusal_delay_s = refusal_delay_s
        self._waiting_refusals = 0

    async def admit(self, entry: Entry | Refusal) -> Entry | Refusal:
        """Let an entry pass, or return the refusal once it may be answered. Connect before you wait for anything."""
        refusal = entry if isinstance(entry, Refusal) else await self._objection(entry.token)
        if refusal is None:
            return entry
        await self._hold_back(refusal)
        return refusal

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

    async def _hold_back(self, refusal: Refusal) -> None:
        log.info("handshake_refused", status=int(refusal.status), reason=refusal.message)
        if self._waiting_refusals < MAX_WAITING_REFUSALS:
            self._waiting_refusals += 1
            try:
                await asyncio.sleep(self._refusal_delay_s)
            finally:
                self._waiting_refusals -= 1


def read_entry(scope: MutableMapping[str, Any]) -> Entry | Refusal:
    """Read the query and headers of a handshake or request. What else is in the query is for others."""
    try:
        pairs = parse_qsl(scope["query_string"].decode(), max_num_fields=MAX_PARAMETERS)
    except ValueError:  # too many fields, or not UTF-8
        return Refusal(HTTPStatus.BAD_REQUEST, "The query cannot be read")
    query = dict(pairs)
    version = query.get("vsn", "1.0.0")
    if not (version.startswith(("1.0.", "2.0.")) and version[4:].isdecimal() and len(version) <= len("1.0.999")):
        return Refusal(HTTPStatus.FORBIDDEN, "The protocol version (vsn) must be 1.0.0 or 2.0.0")
    names = (b"x-api-key",) if scope["type"] == "websocket" else (b"authorization", b"x-api-key", b"apikey")
    tokens = [*(_header(scope, name) for name in names), query.get("apikey", "")]
    token = next((token for token in tokens if token), "")
    if not token:
        return _refusal(API_KEY_MISSING)
    session = query.get("session")
    if session is not None and not _SESSION.fullmatch(session):
        return Refusal(HTTPStatus.BAD_REQUEST, "The session must be 16 to 128 letters, digits and ._~-")
    return Entry(int(version[0]), token, query, session)


def _header(scope: MutableMapping[str, Any], wanted: bytes) -> str:
    """Return the first header of a name that says something; of `authorization` the token."""
    values = (value.decode("latin-1").strip() for name, value in scope["headers"] if name == wanted)
    found = next((value for value in values if value), "")
    if wanted != b"authorization":
        return found
    scheme, _, bearer = found.partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else ""


def _refusal(reason: Reason) -> Refusal:
    return Refusal(_STATUSES.get(reason, HTTPStatus.UNAUTHORIZED), reason.message)
