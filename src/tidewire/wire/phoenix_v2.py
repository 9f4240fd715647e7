"""Protocol version 2.0.0: a message is a JSON array in a text frame; a user's broadcast is a binary frame.

A binary frame is a kind, the byte lengths of its strings, the strings, and a body that takes the rest. Keeps no state.
"""

import msgspec
from msgspec import Raw, Struct

from tidewire.model.errors import DecodeError
from tidewire.wire.message import Frame, Inbound, Message, UserBroadcast
from tidewire.wire.payloads import broadcast_payload
from tidewire.wire.untrusted import object_text, read_json, read_members, ref_text

PUSH = 0
"""A message in Phoenix's own binary form; official clients send text instead."""
USER_BROADCAST_PUSH = 3
"""A broadcast from a client."""
USER_BROADCAST = 4
"""A broadcast to a client, and the only binary kind that clients read."""

BINARY, JSON = 0, 1
"""How the body of a broadcast is written."""

MAX_STRING_BYTES = 255
"""A length is one byte."""


class _Text(Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    join_ref: str | int | None
    ref: str | int | None
    topic: str
    event: str
    payload: Raw


_decode_text = msgspec.json.Decoder(_Text).decode
_decode_value = msgspec.json.Decoder(Raw).decode
_encode = msgspec.json.Encoder().encode


class V2:
    """The codec of version 2.0.0."""

    __slots__ = ()

    def encode(self, message: Message) -> Frame:
        """Write a message as text."""
        payload = Raw(message.payload)
        return Frame(_encode((message.join_ref, message.ref, message.topic, message.event, payload)))

    def encode_broadcast(self, broadcast: UserBroadcast) -> Frame | None:
        """Write a binary frame; when a string is too long for one, a text frame, or None for a binary body."""
        topic, event, meta = broadcast.topic.encode(), broadcast.event.encode(), broadcast.meta
        if max(len(topic), len(event), len(meta)) <= MAX_STRING_BYTES:
            encoding = BINARY if broadcast.binary else JSON
            header = bytes((USER_BROADCAST, len(topic), len(event), len(meta), encoding))
            return Frame(b"".join((header, topic, event, meta, broadcast.payload)), binary=True)
        if broadcast.binary:
            return None
        return self._encode_as_text(broadcast)

    def _encode_as_text(self, broadcast: UserBroadcast) -> Frame:
        payload = broadcast_payload(broadcast.event, broadcast.payload, broadcast.meta)
        return self.encode(Message(broadcast.topic, "broadcast", payload))

    def decode(self, frame: Frame) -> Inbound:
        """Read a frame. Raises DecodeError: drop the frame and keep the connection."""
        if frame.binary:
            return _read_binary(frame.data)
        text = read_json(_decode_text, frame.data, "reading a frame")
        return Message(text.topic, text.event, object_text(text.payload), ref_text(text.ref), ref_text(text.join_ref))


class TextV2(V2):
    """Version 2.0.0 for transports that carry text: a broadcast with a JSON body is a text frame, whatever it was."""

    __slots__ = ("_keeps_binary",)

    def __init__(self, *, keeps_binary: bool) -> None:
        """With `keeps_binary` a raw body is still a binary frame, which the transport must write as text."""
        self._keeps_binary = keeps_binary

    def encode_broadcast(self, broadcast: UserBroadcast) -> Frame | None:
        """Write a broadcast as text; one with a raw body as a binary frame, or not at all."""
        if not broadcast.binary:
            return self._encode_as_text(broadcast)
        return super().encode_broadcast(broadcast) if self._keeps_binary else None


def _read_binary(data: bytes) -> Inbound:
    kind = data[0] if data else None
    if kind == USER_BROADCAST_PUSH:
        return _read_user_broadcast(data)
    if kind == PUSH:
        return _read_push(data)
    raise DecodeError(f"reading a binary frame: expected kind {USER_BROADCAST_PUSH} or {PUSH}, got {kind}")


def _read_user_broadcast(data: bytes) -> UserBroadcast:
    # kind, five lengths, encoding
    join_ref, ref, topic, event, meta, body = _split(data, data[1:6], 7)
    encoding = data[6]
    if encoding == JSON:
        # It will be spliced into text for version 1 and parsed by others: a broken body must stop here.
        read_json(_decode_value, body, "reading a broadcast's body")
    elif encoding != BINARY:
        raise DecodeError(f"reading a binary frame: expected encoding {BINARY} or {JSON}, got {encoding}")
    if meta:
        read_members(meta, "reading a broadcast's metadata")
    topic_text, event_text = _text(topic), _text(event)
    return UserBroadcast(
        topic_text, event_text, body, encoding == BINARY, meta, _text(ref) or None, _text(join_ref) or None
    )


def _read_push(data: bytes) -> Message:
    # kind, four lengths
    join_ref, ref, topic, event, body = _split(data, data[1:5], 5)
    payload = object_text(read_json(_decode_value, body.strip(), "reading a push's body"))
    return Message(_text(topic), _text(event), payload, _text(ref) or None, _text(join_ref) or None)


def _split(data: bytes, lengths: bytes, start: int) -> list[bytes]:
    """Cut the strings and the body apart; lengths that promise more than there is are a DecodeError."""
    parts = []
    at = start
    for length in lengths:
        parts.append(data[at : at + length])
        at += length
    if at > len(data):
        raise DecodeError(f"reading a binary frame: expected at least {at} bytes, got {len(data)}")
    parts.append(data[at:])
    return parts


def _text(part: bytes) -> str:
    try:
        return part.decode()
    except UnicodeDecodeError as error:
        raise DecodeError("reading a binary frame: expected strings in UTF-8, got other bytes") from error
