"""The kinds of connection: two versions of the protocol, each on four transports."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.json import encode

from tidewire.hub.forms import Form
from tidewire.server.asgi_connection import event_size
from tidewire.server.direct_group import DirectGroup
from tidewire.wire.event_stream import StreamEvent, frame_event
from tidewire.wire.message import Codec, Frame, Message, UserBroadcast
from tidewire.wire.phoenix_v1 import V1
from tidewire.wire.phoenix_v2 import V2, TextV2
from tidewire.wire.websocket import BINARY, TEXT, count_frames, encode_frame


def _wrap_frame(frame: Frame) -> bytes:
    return encode_frame(BINARY if frame.binary else TEXT, frame.data)


def _join_frames(packets: Sequence[bytes]) -> Sequence[bytes]:
    return (b"".join(packets),) if len(packets) > 1 else packets


def _wrap_event(frame: Frame) -> dict[str, Any]:
    if frame.binary:
        return {"type": "websocket.send", "bytes": frame.data}
    return {"type": "websocket.send", "text": frame.data.decode()}


def _weigh_frames(packet: bytes) -> tuple[int, int]:
    return count_frames(packet), len(packet)


def _weigh_event(event: dict[str, Any]) -> tuple[int, int]:
    return 1, event_size(event)


def _wrap_text(frame: Frame) -> bytes:
    return encode(frame.data.decode())


class EventForm(Form):
    """Makes events that still know their message, because each stream says its own place with them."""

    __slots__ = ()

    def pack(self, message: Message | UserBroadcast) -> StreamEvent | None:
        """Return the event of a message, or None when this version cannot carry it."""
        text = super().pack(message)
        return None if text is None else StreamEvent(text, message if isinstance(message, Message) else None)


CODECS: Final[Mapping[int, Codec]] = {1: V1(), 2: V2()}

DIRECT: Final[Mapping[int, Form]] = {
    version: Form(codec, _wrap_frame, _join_frames, DirectGroup, weigh=_weigh_frames)
    for version, codec in CODECS.items()
}
"""By version: whole WebSocket frames, written to the transport as they are."""

ASGI: Final[Mapping[int, Form]] = {
    version: Form(codec, _wrap_event, weigh=_weigh_event) for version, codec in CODECS.items()
}
"""By version: ASGI events, one for each message."""

EVENT_STREAM: Final[Mapping[int, Form]] = {
    1: EventForm(V1(), frame_event),
    2: EventForm(TextV2(keeps_binary=True), frame_event),
}
"""By version: events of a text/event-stream, to which each stream adds its id."""

LONG_POLL: Final[Mapping[int, Form]] = {
    1: Form(V1(), _wrap_text),
    2: Form(TextV2(keeps_binary=False), _wrap_text),  # official clients read every message of a poll as JSON
}
"""By version: frames as JSON strings, elements of the list that answers a poll."""
