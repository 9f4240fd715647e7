"""The four kinds of connection: two versions of the protocol, on a transport of our own or behind any ASGI server."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tidewire.hub.forms import Form
from tidewire.server.direct_group import DirectGroup
from tidewire.wire.message import Frame
from tidewire.wire.phoenix_v1 import V1
from tidewire.wire.phoenix_v2 import V2
from tidewire.wire.websocket import BINARY, TEXT, encode_frame


def _wrap_frame(frame: Frame) -> bytes:
    return encode_frame(BINARY if frame.binary else TEXT, frame.data)


def _join_frames(packets: Sequence[bytes]) -> Sequence[bytes]:
    return (b"".join(packets),) if len(packets) > 1 else packets


def _wrap_event(frame: Frame) -> dict[str, Any]:
    if frame.binary:
        return {"type": "websocket.send", "bytes": frame.data}
    return {"type": "websocket.send", "text": frame.data.decode()}


DIRECT: Final[Mapping[int, Form]] = {
    1: Form(V1(), _wrap_frame, _join_frames, DirectGroup),
    2: Form(V2(), _wrap_frame, _join_frames, DirectGroup),
}
"""By version: whole WebSocket frames, written to the transport as they are."""

ASGI: Final[Mapping[int, Form]] = {1: Form(V1(), _wrap_event), 2: Form(V2(), _wrap_event)}
"""By version: ASGI events, one for each message."""
