"""Events are text that every reader of text/event-stream takes apart again, and posts become frames."""

import json
from base64 import b64encode
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.model.errors import DecodeError
from tidewire.wire import event_stream
from tidewire.wire.message import Frame, UserBroadcast
from tidewire.wire.phoenix_v2 import V2, TextV2
from tidewire.wire.posted_frames import LINES, MOST_FRAMES, read_posted

JSON_TEXT = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


def data_of(event: bytes) -> bytes:
    """Read one event as the specification says."""
    assert event.endswith(b"\n\n")
    assert b"\r" not in event
    lines = event[:-2].split(b"\n")
    return b"\n".join(line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: "))


@given(JSON_TEXT, st.sampled_from(["\n", "\r", "\r\n", " \n\n "]))
def test_a_frame_is_one_event_whatever_line_breaks_stand_in_it(value: object, space: str) -> None:
    text = f"[{space}{json.dumps(value, ensure_ascii=False)}{space}]".encode()
    assert json.loads(data_of(event_stream.frame_event(Frame(text)))) == [value]


def test_a_binary_frame_is_base64_under_a_name_of_its_own() -> None:
    event = event_stream.frame_event(Frame(b"\x04\n\n\xff" * 50, binary=True))
    assert event.startswith(b"event: binary\n")
    assert data_of(event) == b64encode(b"\x04\n\n\xff" * 50)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 2048])
def test_padding_is_a_comment_of_that_size(size: int) -> None:
    comment = event_stream.padding(size)
    assert (len(comment), comment[:1], comment[-2:]) == (max(size, 3), b":", b"\n\n")
    assert comment.count(b"\n") == 2


def test_where_only_text_goes_a_broadcast_is_text() -> None:
    said, raw = (UserBroadcast("realtime:a", "e", b'{"a":1}', binary) for binary in (False, True))
    for keeps_binary in (True, False):
        frame = TextV2(keeps_binary=keeps_binary).encode_broadcast(said)
        assert frame is not None
        assert not frame.binary
        assert json.loads(frame.data)[2:] == [
            "realtime:a",
            "broadcast",
            {"event": "e", "payload": {"a": 1}, "type": "broadcast"},
        ]
    assert TextV2(keeps_binary=True).encode_broadcast(raw) == V2().encode_broadcast(raw)
    assert TextV2(keeps_binary=False).encode_broadcast(raw) is None


V1_FRAME, V2_FRAME = b'{"topic":"t"}', b'["1","2","t","e",{}]'


@pytest.mark.parametrize(
    ("body", "content_type", "frames"),
    [
        (V1_FRAME, "application/json", [Frame(V1_FRAME)]),
        (V2_FRAME, "", [Frame(V2_FRAME)]),
        (b" [%b, %b] " % (V1_FRAME, V1_FRAME), "application/json", [Frame(V1_FRAME)] * 2),
        (b"[%b,%b]" % (V2_FRAME, V2_FRAME), "text/plain", [Frame(V2_FRAME)] * 2),
        (b'[null,"2","t","e",{}]', "", [Frame(b'[null,"2","t","e",{}]')]),
        (b"%b\r\n%b\n" % (V2_FRAME, V1_FRAME), f"{LINES}; charset=utf-8", [Frame(V2_FRAME), Frame(V1_FRAME)]),
        (b64encode(b"\x03\xff") + b"\n" + V2_FRAME, LINES, [Frame(b"\x03\xff", binary=True), Frame(V2_FRAME)]),
        (b"nonsense", "", [Frame(b"nonsense")]),
    ],
)
def test_a_body_is_parted_into_frames(body: bytes, content_type: str, frames: list[Frame]) -> None:
    assert read_posted(body, content_type) == frames


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", LINES),
        (b"\n\n", LINES),
        (b"!", LINES),
        (b"[" * 9000, ""),
        (b"[[1],", ""),
        (V2_FRAME + b"\n" + b"[]\n" * MOST_FRAMES, LINES),
        (b"[%b[]]" % (b"[]," * MOST_FRAMES), ""),
    ],
)
def test_a_body_that_cannot_be_parted_is_an_error(body: bytes, content_type: str) -> None:
    with pytest.raises(DecodeError):
        read_posted(body, content_type)


@given(st.binary(max_size=200), st.sampled_from([LINES, "application/json", ""]))
def test_parting_raises_nothing_else(body: bytes, content_type: str) -> None:
    with suppress(DecodeError):
        assert read_posted(body, content_type)
