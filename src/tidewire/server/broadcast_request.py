"""Turns the bodies of POST /api/broadcast into messages for a topic, or into what is wrong with them, by field."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from tidewire.model.errors import DecodeError
from tidewire.wire.message import Message, UserBroadcast
from tidewire.wire.payloads import broadcast_payload
from tidewire.wire.requests import Persist, read_persist_query
from tidewire.wire.session_address import PREFIX
from tidewire.wire.untrusted import lenient_flag, lenient_value, read_json, read_members

BLANK: Final = "can't be blank"
INVALID: Final = "is invalid"
PUBLIC: Final = "is for private topics only"
TOO_LARGE: Final = "Payload size exceeds tenant limit"

MAX_MESSAGES: Final = 1000
"""Reading and sending one takes some 20 µs, so a request cannot hold up everybody else for more than about 20 ms."""

Complaints = Mapping[str, Sequence[str]]
"""Field to what is wrong with it; empty when nothing is."""


class Posted(Struct, frozen=True):
    """A broadcast that somebody wants to send to a topic (without its `realtime:`)."""

    subtopic: str
    private: bool
    message: Message | UserBroadcast
    persist: Persist | None = None
    """How it is to be kept, if it is."""


class InvalidBatch(Exception):  # noqa: N818 - says what it is about
    """The batch cannot be sent. `errors` is what the answer's `errors` hold."""

    def __init__(self, errors: Mapping[str, Any]) -> None:
        super().__init__("reading a batch of broadcasts: expected messages with topic, event and payload")
        self.errors = errors


_decode_items = msgspec.json.Decoder(list[Raw]).decode
_encode = msgspec.json.Encoder().encode


def read_batch(body: bytes, *, payload_bytes: int, topic_bytes: int) -> list[Posted]:
    """Read a batch; all or none of it counts. Raises DecodeError when it is no JSON object, and InvalidBatch."""
    members = read_members(body, "reading a batch of broadcasts")
    if bytes(members.get("messages", b"null")) == b"null":
        raise InvalidBatch({"messages": [BLANK]})
    try:
        items = read_json(_decode_items, bytes(members["messages"]), "reading a batch of broadcasts")
    except DecodeError:
        raise InvalidBatch({"messages": [INVALID]}) from None
    read = [_read_item(bytes(item), payload_bytes, topic_bytes) for item in items]
    if any(isinstance(each, Mapping) for each in read):
        raise InvalidBatch({"messages": [each if isinstance(each, Mapping) else {} for each in read]})
    return [each for each in read if isinstance(each, Posted)]


def read_single(
    subtopic: str, event: str, body: bytes, *, binary: bool, private: bool, persist: Persist | None = None
) -> Posted:
    """Make a broadcast of a whole body. Raises DecodeError when it should be JSON and is not."""
    if not binary:
        read_json(_decode_raw, body, "reading a broadcast's body")
    return Posted(subtopic, private, UserBroadcast(PREFIX + subtopic, event, body, binary), persist)


def check_single(subtopic: str, event: str, body: bytes, *, payload_bytes: int, topic_bytes: int) -> Complaints:
    """Say what is wrong with a single broadcast."""
    complaints = {} if not subtopic else _too_long(subtopic, topic_bytes)
    complaints |= {name: [BLANK] for name, text in (("topic", subtopic), ("event", event)) if not text}
    if len(body) > payload_bytes:
        complaints["payload"] = [TOO_LARGE]
    return complaints


def read_wishes(query: Mapping[str, str]) -> tuple[bool, Persist | None, Complaints]:
    """Read from a request's query whether a single broadcast is private and how it is to be kept; and what is wrong."""
    private = query.get("private", "").lower() == "true"
    try:
        persist = read_persist_query(query)
    except DecodeError:
        return private, None, {"persist": [INVALID]}
    return private, persist, {"persist": [PUBLIC]} if persist is not None and not private else {}


_decode_raw = msgspec.json.Decoder(Raw).decode


def _read_item(text: bytes, payload_bytes: int, topic_bytes: int) -> Posted | Complaints:
    try:
        members = read_members(text, "reading a broadcast")
    except DecodeError:
        return {"message": [INVALID]}
    complaints: dict[str, Sequence[str]] = {}
    subtopic, event = (_read_name(members, name, complaints) for name in ("topic", "event"))
    payload = bytes(members.get("payload", b"null"))
    if payload == b"null":
        complaints["payload"] = [BLANK]
    elif not payload.startswith(b"{"):
        complaints["payload"] = [INVALID]
    elif len(payload) > payload_bytes:
        complaints["payload"] = [TOO_LARGE]
    complaints |= _too_long(subtopic, topic_bytes)
    if complaints:
        return complaints
    id_ = lenient_value(members, "id")
    meta = _encode({"id": id_}) if isinstance(id_, str) else b""
    message = Message(PREFIX + subtopic, "broadcast", broadcast_payload(event, payload, meta))
    return Posted(subtopic, lenient_flag(members, "private"), message)


def _read_name(members: Mapping[str, Raw], name: str, complaints: dict[str, Sequence[str]]) -> str:
    value = lenient_value(members, name)
    if value is None or value == "":
        complaints[name] = [BLANK]
    elif not isinstance(value, str):
        complaints[name] = [INVALID]
    return value if isinstance(value, str) else ""


def _too_long(subtopic: str, topic_bytes: int) -> dict[str, Sequence[str]]:
    fits = len((PREFIX + subtopic).encode()) <= topic_bytes
    return {} if fits else {"topic": [f"should be at most {topic_bytes - len(PREFIX)} byte(s)"]}
