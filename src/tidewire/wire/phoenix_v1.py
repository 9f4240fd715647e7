"""Protocol version 1.0.0: a message is a JSON object in a text frame. Knows no binary frames and keeps no state."""

import msgspec
from msgspec import Raw, Struct

from tidewire.model.errors import DecodeError
from tidewire.wire.message import Frame, Inbound, Message, UserBroadcast
from tidewire.wire.payloads import broadcast_payload
from tidewire.wire.untrusted import object_text, read_json, ref_text


class _Received(Struct, gc=False):
    """`ref` may be null but not missing; other keys are ignored."""

    topic: str
    event: str
    payload: Raw
    ref: str | int | None
    join_ref: str | int | None = None


class _Sent(Struct, gc=False):
    """Exactly these four, because strict clients refuse a push without `ref`."""

    topic: str
    event: str
    payload: Raw
    ref: str | None


_decode = msgspec.json.Decoder(_Received).decode
_encode = msgspec.json.Encoder().encode


class V1:
    """The codec of version 1.0.0."""

    __slots__ = ()

    def encode(self, message: Message) -> Frame:
        """Write a message; this version tells clients no `join_ref`."""
        return Frame(_encode(_Sent(message.topic, message.event, Raw(message.payload), message.ref)))

    def encode_broadcast(self, broadcast: UserBroadcast) -> Frame | None:
        """Write a broadcast as text, or return None: a binary body cannot be told in JSON."""
        if broadcast.binary:
            return None
        payload = broadcast_payload(broadcast.event, broadcast.payload, broadcast.meta)
        return Frame(_encode(_Sent(broadcast.topic, "broadcast", Raw(payload), None)))

    def decode(self, frame: Frame) -> Inbound:
        """Read a frame. Raises DecodeError: drop the frame and keep the connection."""
        if frame.binary:
            raise DecodeError("reading a frame: expected text in protocol version 1, got a binary frame")
        received = read_json(_decode, frame.data, "reading a frame")
        return Message(
            received.topic,
            received.event,
            object_text(received.payload),
            ref_text(received.ref),
            ref_text(received.join_ref),
        )
