"""Reads a client's broadcasts, presence and token messages. Joins are read in `join`; grants nothing."""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from tidewire.model.errors import DecodeError
from tidewire.wire.untrusted import lenient_value, read_members

MAX_TTL_S: Final = 259_200
"""72 hours: so long are broadcasts kept at most."""


class PresenceCall(Struct, frozen=True):
    """What a client asks of presence. `action` is None when it asks for nothing, which is answered with OK.

    `payload` is the text of an object, or None when it is none: a track must then be refused.
    """

    action: Literal["track", "untrack", "unknown"] | None
    payload: bytes | None


def read_presence(payload: bytes) -> PresenceCall:
    """Read a `presence` message. Raises DecodeError when the message itself is no object."""
    members = read_members(payload, "reading a presence message")
    tracked = bytes(members.get("payload", b"{}"))
    body = tracked if tracked.startswith(b"{") else None
    if bytes(members.get("event", b"null")) == b"null":
        return PresenceCall(None, body)
    event = lenient_value(members, "event")
    match event.lower() if isinstance(event, str) else None:
        case "track":
            return PresenceCall("track", body)
        case "untrack":
            return PresenceCall("untrack", body)
    return PresenceCall("unknown", body)


def read_broadcast_event(payload: bytes) -> str | None:
    """Return the user's event of a text broadcast, which is itself passed on unchanged; None when it names none.

    Raises DecodeError when the payload is no object.
    """
    event = lenient_value(read_members(payload, "reading a broadcast"), "event")
    return event if isinstance(event, str) else None


class Persist(Struct, frozen=True):
    """The wish that a broadcast be kept for later readers: for `ttl_s` seconds, or for as long as any is."""

    ttl_s: int | None = None


def read_persist(meta: bytes) -> Persist | None:
    """Return how the metadata of a broadcast asks to keep it, if it does. Raises DecodeError if that is impossible."""
    if not meta:
        return None
    members = read_members(meta, "reading a broadcast's metadata")
    text = bytes(members.get("persist", b"null"))
    if text.startswith(b"{"):
        inner = read_members(text, "reading how long to keep a broadcast")
        if bytes(inner.get("ttl", b"null")) == b"null":
            return Persist()
        return _persist_for(lenient_value(inner, "ttl"))
    if text in {b"null", b"false"}:
        return None
    if text == b"true":
        return Persist()
    raise _no_ttl()


def read_persist_query(query: Mapping[str, str]) -> Persist | None:
    """Return whether a request asks to keep its broadcast: `persist=true` or `persist[ttl]=60`. Raises as above."""
    ttl, flag = query.get("persist[ttl]"), query.get("persist", "").lower()
    if ttl is not None:
        return _persist_for(int(ttl) if ttl.isascii() and ttl.isdecimal() and len(ttl) <= 9 else None)
    if flag not in {"", "true", "false"}:
        raise _no_ttl()
    return Persist() if flag == "true" else None


def _persist_for(ttl: object) -> Persist:
    if type(ttl) is not int or not 1 <= ttl <= MAX_TTL_S:  # true would count as 1
        raise _no_ttl()
    return Persist(ttl)


def _no_ttl() -> DecodeError:
    return DecodeError(f"reading how long to keep a broadcast: expected 1 to {MAX_TTL_S} seconds, got something else")


def read_access_token(payload: bytes) -> str | None:
    """Return the new token, or None when there is nothing to do. Raises DecodeError when the payload is no object."""
    return usable_token(lenient_value(read_members(payload, "reading an access token"), "access_token"))


def usable_token(value: object) -> str | None:
    """Return a token that can be verified, else None: `sb_` keys stand for the one that opened the connection."""
    return value if isinstance(value, str) and value and not value.startswith("sb_") else None
