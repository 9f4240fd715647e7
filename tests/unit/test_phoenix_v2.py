"""Version 2.0.0: arrays in text frames and broadcasts in binary ones, byte for byte."""

import json

import pytest

from tidewire.model.errors import DecodeError
from tidewire.wire.message import Codec, Frame, Inbound, Message, UserBroadcast
from tidewire.wire.payloads import deliverable
from tidewire.wire.phoenix_v2 import V2

CODEC: Codec = V2()

SENT = bytes.fromhex("0301010a020001") + b"1" + b"2" + b"realtime:t" + b"hi" + b'{"a":1}'
DELIVERED = bytes.fromhex("040a020001") + b"realtime:t" + b"hi" + b'{"a":1}'


def text(data: bytes) -> Inbound:
    return CODEC.decode(Frame(data))


def binary(data: bytes) -> Inbound:
    return CODEC.decode(Frame(data, binary=True))


def test_a_message_is_an_array_of_five() -> None:
    frame = CODEC.encode(Message("realtime:room:7", "phx_reply", b'{"status":"ok","response":{}}', "4", "1"))
    assert frame == Frame(b'["1","4","realtime:room:7","phx_reply",{"status":"ok","response":{}}]')


def test_refs_of_a_push_are_null() -> None:
    assert CODEC.encode(Message("t", "e", b"{}")).data == b'[null,null,"t","e",{}]'


def test_a_message_is_read_with_its_payload_untouched() -> None:
    assert text(b'[null,"4","t","e", { "n": 1.50 } ]') == Message("t", "e", b'{ "n": 1.50 }', "4", None)


def test_refs_may_be_numbers_and_the_payload_null() -> None:
    assert text(b'[1,2,"t","e",null]') == Message("t", "e", b"{}", "2", "1")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'["1","2","t","e"]',
        b'["1","2","t","e",{},{}]',
        b'["1","2","t","e",{}]]',
        b'["1","2",null,"e",{}]',
        b'["1","2","t",5,{}]',
        b'["1","2","t","e",[]]',
        b'["1","2","t","e",true]',
        b'[[],"2","t","e",{}]',
        b'["1",{"a":1},"t","e",{}]',
        b'["1","2","t\xff","e",{}]',
        b'["1","2","t","e",{"a":"\xff"}]',
        b'{"topic":"t","event":"e","payload":{},"ref":"1"}',
        b"[" * 100_000,
        b'["1","2","t","e",' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"]",
    ],
)
def test_any_other_text_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        text(data)


def test_the_worked_example_byte_for_byte() -> None:
    broadcast = binary(SENT)
    assert broadcast == UserBroadcast("realtime:t", "hi", b'{"a":1}', binary=False, ref="2", join_ref="1")
    assert isinstance(broadcast, UserBroadcast)
    assert CODEC.encode_broadcast(deliverable(broadcast)) == Frame(DELIVERED, binary=True)


def test_a_binary_body_passes_byte_by_byte() -> None:
    body = bytes(range(256))
    broadcast = binary(bytes((3, 0, 0, 1, 1, 0, 0)) + b"te" + body)
    assert broadcast == UserBroadcast("t", "e", body, binary=True)
    assert isinstance(broadcast, UserBroadcast)
    assert CODEC.encode_broadcast(broadcast) == Frame(bytes((4, 1, 1, 0, 0)) + b"te" + body, binary=True)


@pytest.mark.parametrize("body", [b'"text"', b"1.50", b"null", b"[1,2]", b' { "a" : 1 } '])
def test_any_json_value_may_be_the_body(body: bytes) -> None:
    broadcast = binary(bytes((3, 0, 0, 1, 1, 0, 1)) + b"te" + body)
    assert broadcast.payload == body


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":1}}', b'1,"ref":"9"', b'"\xff"', b"[" * 100_000])
def test_a_body_that_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        binary(bytes((3, 0, 0, 1, 1, 0, 1)) + b"te" + body)


def test_what_the_sender_told_the_server_is_not_delivered() -> None:
    broadcast = binary(bytes((3, 1, 1, 1, 1, 16, 1)) + b"12te" + b'{"persist":true}' + b"{}")
    assert isinstance(broadcast, UserBroadcast)
    assert broadcast.meta == b'{"persist":true}'
    assert deliverable(broadcast) == UserBroadcast("t", "e", b"{}", binary=False)
    assert deliverable(broadcast, b'{"id":"x"}').meta == b'{"id":"x"}'


@pytest.mark.parametrize("meta", [b"[]", b"1", b"{", b"\xff", b"{}{}"])
def test_metadata_is_an_object_or_nothing(meta: bytes) -> None:
    with pytest.raises(DecodeError):
        binary(bytes((3, 0, 0, 1, 1, len(meta), 1)) + b"te" + meta + b"{}")


@pytest.mark.parametrize("at", range(1, 6))
def test_a_length_that_promises_too_much_is_refused(at: int) -> None:
    lying = bytearray(SENT)
    lying[at] = 255
    with pytest.raises(DecodeError):
        binary(bytes(lying))


@pytest.mark.parametrize("length", range(len(SENT)))
def test_a_cut_frame_is_refused(length: int) -> None:
    with pytest.raises(DecodeError):
        binary(SENT[:length])


@pytest.mark.parametrize("header", [b"\x03\x00\x00\x01\x01\x00\x00", b"\x03\x01\x01\x00\x00\x00\x00"])
def test_a_frame_may_end_with_its_strings_and_no_earlier(header: bytes) -> None:
    assert binary(header + b"te").payload == b""
    with pytest.raises(DecodeError, match="at least 9 bytes, got 8"):
        binary(header + b"t")


@pytest.mark.parametrize("kind", [1, 2, 4, 5, 255])
def test_kinds_that_only_servers_send_are_refused(kind: int) -> None:
    with pytest.raises(DecodeError, match="kind"):
        binary(bytes((kind,)) + SENT[1:])


@pytest.mark.parametrize("encoding", [2, 123, 255])
def test_an_unknown_encoding_is_refused(encoding: int) -> None:
    with pytest.raises(DecodeError, match="encoding"):
        binary(SENT[:6] + bytes((encoding,)) + SENT[7:])


@pytest.mark.parametrize("place", [b"\xffrealtime:t", b"realtime:\xed\xa0\x80"])
def test_strings_are_utf_8(place: bytes) -> None:
    with pytest.raises(DecodeError, match="UTF-8"):
        binary(bytes((3, 0, 0, len(place), 0, 0, 0)) + place)


def test_a_push_in_binary_form_is_read() -> None:
    frame = bytes((0, 1, 1, 1, 9)) + b"1" + b"2" + b"t" + b"phx_leave" + b"{}"
    assert binary(frame) == Message("t", "phx_leave", b"{}", "2", "1")
    with pytest.raises(DecodeError):
        binary(frame[:-1])
    with pytest.raises(DecodeError):
        binary(frame[:-2] + b"\x00\x01")


def test_255_bytes_fit_and_256_make_it_text() -> None:
    longest = "ä" * 127 + "a"
    fits = CODEC.encode_broadcast(UserBroadcast(longest, longest, b"{}", binary=False))
    assert fits == Frame(bytes((4, 255, 255, 0, 1)) + 2 * longest.encode() + b"{}", binary=True)
    for topic, event, meta in [("ä" * 128, "e", b""), ("t", "ä" * 128, b""), ("t", "e", b'{"id":"%b"}' % (b"x" * 250))]:
        frame = CODEC.encode_broadcast(UserBroadcast(topic, event, b"[1]", binary=False, meta=meta))
        assert frame is not None
        assert frame.binary is False
        payload = {"event": event, "payload": [1], "type": "broadcast"} | ({"meta": json.loads(meta)} if meta else {})
        assert json.loads(frame.data) == [None, None, topic, "broadcast", payload]


def test_a_binary_body_under_a_long_name_cannot_be_written() -> None:
    assert CODEC.encode_broadcast(UserBroadcast("t" * 256, "e", b"\x00", binary=True)) is None
