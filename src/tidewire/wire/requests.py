"""Reads the payloads of a client's broadcast, presence and token messages. Joins are read in `join`; grants nothing."""

from typing import Literal

from msgspec import Struct

from tidewire.wire.untrusted import lenient_value, read_members


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


def read_access_token(payload: bytes) -> str | None:
    """Return the new token, or None when there is nothing to do. Raises DecodeError when the payload is no object."""
    return usable_token(lenient_value(read_members(payload, "reading an access token"), "access_token"))


def usable_token(value: object) -> str | None:
    """Return a token that can be verified, else None: `sb_` keys stand for the one that opened the connection."""
    return value if isinstance(value, str) and value and not value.startswith("sb_") else None
