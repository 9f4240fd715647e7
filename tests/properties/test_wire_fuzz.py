"""Whatever arrives, a codec returns a message or raises DecodeError; whatever is written can be read again."""

import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidewire.model.errors import DecodeError
from tidewire.wire import payloads
from tidewire.wire.binding import MAX_BINDING_ID
from tidewire.wire.join import parse_join
from tidewire.wire.message import Codec, Frame, Inbound, Message, UserBroadcast
from tidewire.wire.phoenix_v1 import V1
from tidewire.wire.phoenix_v2 import V2
from tidewire.wire.requests import read_access_token, read_broadcast_event, read_persist, read_presence

V1_CODEC, V2_CODEC = V1(), V2()
CODECS: list[Codec] = [V1_CODEC, V2_CODEC]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
refs = st.none() | texts
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, json_values, max_size=4)


def written(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


messages = st.builds(Message, texts, texts, objects.map(written), refs, refs)
short = st.text(st.characters(exclude_categories=["Cs"]), max_size=63)  # at most 252 bytes


@st.composite
def pushes(draw: st.DrawFn) -> bytes:
    """Frames of kind 3 that tell the truth about their lengths."""
    strings = [draw(short).encode() for _ in range(4)]
    binary = draw(st.booleans())
    body = draw(st.binary(max_size=50)) if binary else written(draw(json_values))
    lengths = bytes(len(string) for string in strings)
    return b"".join((bytes((3,)), lengths, bytes((0, 0 if binary else 1)), *strings, body))


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """Valid frames with some bytes changed, cut, or put in."""
    valid = st.one_of(
        pushes(),
        messages.map(lambda message: V1_CODEC.encode(message).data),
        messages.map(lambda message: V2_CODEC.encode(message).data),
    )
    data = bytearray(draw(valid))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


def wrote_back(message: Inbound) -> None:
    """Everything that was accepted can be delivered, and is a whole and valid frame in both versions."""
    for codec in CODECS:
        if isinstance(message, Message):
            frame: Frame | None = codec.encode(message)
        else:
            frame = codec.encode_broadcast(payloads.deliverable(message))
        if frame is not None and not frame.binary:
            fields = json.loads(frame.data)
            assert isinstance(fields[-1] if isinstance(fields, list) else fields["payload"], dict)


@pytest.mark.parametrize("codec", CODECS, ids=["v1", "v2"])
@given(data=st.binary(max_size=200) | mutations(), binary=st.booleans())
@example(data=b"", binary=True)
@example(data=b"[" * 100_000, binary=False)
@example(data=b'{"a":' * 100_000, binary=False)
@example(data=b'["1","1","t","e",' + b"[" * 100_000, binary=False)
@example(data=b"\x03\x00\x00\x00\x00\x00\x01" + b"[" * 100_000, binary=True)
@example(data=b"\x03" + b"\xff" * 6, binary=True)
def test_decoding_raises_nothing_but_decode_errors(codec: Codec, data: bytes, binary: bool) -> None:  # noqa: FBT001 - drawn
    with suppress(DecodeError):
        wrote_back(codec.decode(Frame(data, binary)))


@given(mutations())
def test_a_mutated_binary_frame_never_reads_past_its_end(data: bytes) -> None:
    with suppress(DecodeError):
        message = V2_CODEC.decode(Frame(data, binary=True))
        assert isinstance(message, UserBroadcast | Message)
        strings = (message.topic, message.event, message.ref or "", message.join_ref or "")
        carried = sum(len(string.encode()) for string in strings) + len(message.payload)
        assert carried <= len(data)


@given(message=messages)
def test_version_2_reads_what_it_writes(message: Message) -> None:
    assert V2_CODEC.decode(V2_CODEC.encode(message)) == message


@given(message=messages)
def test_version_1_reads_what_it_writes_but_for_the_join_ref(message: Message) -> None:
    assert V1_CODEC.decode(V1_CODEC.encode(message)) == Message(
        message.topic, message.event, message.payload, message.ref
    )


@given(pushes())
def test_a_body_is_delivered_byte_for_byte(data: bytes) -> None:
    broadcast = V2_CODEC.decode(Frame(data, binary=True))
    assert isinstance(broadcast, UserBroadcast)
    assert data.endswith(broadcast.payload)
    frame = V2_CODEC.encode_broadcast(broadcast)
    assert frame is not None
    assert frame.binary
    assert frame.data[0] == 4
    assert frame.data[1:5] == data[3:7]
    assert frame.data[5:] == data[7 + data[1] + data[2] :]


@given(topic=texts, event=texts, value=json_values, meta=st.none() | objects)
def test_both_versions_tell_the_same_broadcast(topic: str, event: str, value: object, meta: object) -> None:
    body = UserBroadcast(topic, event, written(value), binary=False, meta=b"" if meta is None else written(meta))
    expected = {"event": event, "payload": value, "type": "broadcast"} | ({} if meta is None else {"meta": meta})
    for codec in CODECS:
        frame = codec.encode_broadcast(body)
        assert frame is not None
        if not frame.binary:
            message = codec.decode(frame)
            assert (message.topic, message.event) == (topic, "broadcast")
            assert json.loads(message.payload) == expected


readers: list[Callable[[bytes], object]] = [
    lambda payload: parse_join(payload, subtopic="a:b:c"),
    read_presence,
    read_access_token,
    read_broadcast_event,
    read_persist,
]


@pytest.mark.parametrize("read", readers, ids=["join", "presence", "token", "broadcast", "metadata"])
@given(payload=st.binary(max_size=60) | json_values.map(written))
@example(payload=b'{"config":{"postgres_changes":' + b"[" * 400 + b"]" * 400 + b"}}")
@example(payload=b'{"event":' + b"[" * 950 + b"]" * 950 + b"}")
def test_payloads_raise_nothing_but_decode_errors(read: Callable[[bytes], object], payload: bytes) -> None:
    with suppress(DecodeError):
        read(payload)


join_keys = st.sampled_from(
    ["ack", "self", "replay", "since", "limit", "key", "enabled", "event", "schema", "table", "filter", "select", "id"]
)
odd_objects = st.dictionaries(join_keys, json_values, max_size=5)
configs = st.fixed_dictionaries(
    {},
    optional={
        "broadcast": odd_objects | json_values,
        "presence": odd_objects | json_values,
        "postgres_changes": st.lists(odd_objects | json_values, max_size=4) | json_values,
        "postgres_changes_options": odd_objects | json_values,
        "private": json_values,
    },
)


@given(config=configs | json_values, token=json_values, subtopic=texts)
def test_a_join_is_never_refused_for_odd_values(config: object, token: object, subtopic: str) -> None:
    join = parse_join(written({"config": config, "access_token": token}), subtopic=subtopic)
    listed = config.get("postgres_changes") if isinstance(config, dict) else None
    asked = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    assert len(join.bindings) == len(asked)
    assert all(1 <= binding.id <= MAX_BINDING_ID for binding in join.bindings)
    reply = json.loads(payloads.join_reply((binding.raw, binding.id) for binding in join.bindings))
    echoed = reply["response"]["postgres_changes"]
    assert echoed == [item | {"id": binding.id} for item, binding in zip(asked, join.bindings, strict=True)]
