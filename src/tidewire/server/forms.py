"""The four kinds of connection: two versions of the protocol, on a transport of our own or behind any ASGI server."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tidewire.hub.forms import Form
from tidewire.server.asgi_connection import event_size
from tidewire.server.direct_group import DirectGroup
from tidewire.wire.message import Codec, Frame
from tidewire.wire.phoenix_v1 import V1
from tidewire.wire.phoenix_v2 import V2
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
