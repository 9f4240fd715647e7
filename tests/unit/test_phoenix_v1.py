"""Version 1.0.0: objects in text frames, read leniently where clients differ and written exactly."""

import json

import pytest

from tidewire.model.errors import DecodeError
from tidewire.wire.message import Codec, Frame, Message, UserBroadcast
from tidewire.wire.phoenix_v1 import V1

CODEC: Codec = V1()


def decode(text: str | bytes) -> Message:
    message = CODEC.decode(Frame(text if isinstance(text, bytes) else text.encode()))
    assert isinstance(message, Message)
    return message


def test_a_frame_has_exactly_four_keys_in_order() -> None:
    frame = CODEC.encode(Message("realtime:t", "phx_reply", b'{"status":"ok","response":{}}', "3", "1"))
    assert frame.data == (
        b'{"topic":"realtime:t","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"3"}'
    )
    assert frame.binary is False


def test_a_push_has_a_null_ref() -> None:
    frame = CODEC.encode(Message("realtime:t", "system", b"{}", join_ref="1"))
    assert json.loads(frame.data) == {"topic": "realtime:t", "event": "system", "payload": {}, "ref": None}


def test_a_message_is_read_with_its_payload_untouched() -> None:
    message = decode(
        '{"topic":"realtime:ü","event":"e","payload":{ "n": 1.50 , "s":"\\u00fc"},"ref":"3","join_ref":"1"}'
    )
    assert message == Message("realtime:ü", "e", b'{ "n": 1.50 , "s":"\\u00fc"}', "3", "1")


@pytest.mark.parametrize(
    ("text", "ref", "join_ref"),
    [
        ('{"topic":"t","event":"e","payload":{},"ref":null}', None, None),
        ('{"topic":"t","event":"e","payload":{},"ref":"1"}', "1", None),
        ('{"topic":"t","event":"e","payload":{},"ref":"","join_ref":null}', "", None),
        ('{"topic":"t","event":"e","payload":{},"ref":7,"join_ref":12345678901234567890}', "7", "12345678901234567890"),
        ('{"vsn":2,"join_ref":"1","ref":"2","payload":{},"event":"e","topic":"t","extra":[{}]}', "2", "1"),
    ],
)
def test_refs_may_be_null_or_numbers_and_join_ref_missing(text: str, ref: str | None, join_ref: str | None) -> None:
    assert decode(text) == Message("t", "e", b"{}", ref, join_ref)


def test_a_null_payload_is_an_empty_object() -> None:
    assert decode('{"topic":"phoenix","event":"heartbeat","payload":null,"ref":"1"}').payload == b"{}"


@pytest.mark.parametrize("key", ["topic", "event", "payload", "ref"])
def test_a_frame_without_one_of_the_four_keys_is_refused(key: str) -> None:
    whole = {"topic": "t", "event": "e", "payload": {}, "ref": "1", "join_ref": "1"}
    assert decode(json.dumps(whole))
    del whole[key]
    with pytest.raises(DecodeError, match=key):
        decode(json.dumps(whole))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b'["1","1","t","e",{}]',
        b'{"topic":"t","event":"e","payload":{},"ref":"1"',
        b'{"topic":"t","event":"e","payload":{},"ref":"1"} {}',
        b'{"topic":1,"event":"e","payload":{},"ref":"1"}',
        b'{"topic":"t","event":null,"payload":{},"ref":"1"}',
        b'{"topic":"t","event":"e","payload":{},"ref":true}',
        b'{"topic":"t","event":"e","payload":{},"ref":1.5}',
        b'{"topic":"t","event":"e","payload":[1],"ref":"1"}',
        b'{"topic":"t","event":"e","payload":"{}","ref":"1"}',
        b'{"topic":"t\xff","event":"e","payload":{},"ref":"1"}',
        b'{"topic":"t","event":"e","payload":{"a":"\xc3"},"ref":"1"}',
        b'{"topic":"t","event":"e","payload":{"a":"\xed\xa0\x80"},"ref":"1"}',
        b'{"topic":"t","event":"e","payload":{"a":"\\ud800"},"ref":"1"}',
    ],
)
def test_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(text)


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(DecodeError) as caught:
        decode('{"topic":"t","event":"hunter2","payload":{"password":"hunter2"},"ref":["hunter2"]}')
    assert "hunter2" not in str(caught.value)


def test_a_binary_frame_is_refused() -> None:
    with pytest.raises(DecodeError, match="binary"):
        CODEC.decode(Frame(b'{"topic":"t","event":"e","payload":{},"ref":"1"}', binary=True))


def test_a_user_broadcast_becomes_text() -> None:
    frame = CODEC.encode_broadcast(UserBroadcast("realtime:t", 'h"i', b'{"a":1}', binary=False))
    assert frame == Frame(
        b'{"topic":"realtime:t","event":"broadcast",'
        b'"payload":{"event":"h\\"i","payload":{"a":1},"type":"broadcast"},"ref":null}'
    )


def test_metadata_stands_beside_the_payload() -> None:
    frame = CODEC.encode_broadcast(UserBroadcast("realtime:t", "hi", b"1", binary=False, meta=b'{"id":"x"}'))
    assert frame is not None
    assert json.loads(frame.data)["payload"] == {
        "event": "hi",
        "payload": 1,
        "type": "broadcast",
        "meta": {"id": "x"},
    }


def test_a_binary_broadcast_is_not_delivered() -> None:
    assert CODEC.encode_broadcast(UserBroadcast("realtime:t", "hi", b"\x00", binary=True)) is None
