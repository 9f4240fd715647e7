"""Frames to events and back, byte by byte: what RFC 6455 allows, and what each offence is answered with."""

import struct

import pytest

from tests.support.websocket import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_payload, frame
from tidewire.wire.websocket import (
    Binary,
    Close,
    Event,
    FrameParser,
    Ping,
    Pong,
    Text,
    Violation,
    count_frames,
    encode_close,
    encode_frame,
    is_close_code,
)

SAMPLE = "Grüße κόσμε 水 🌊".encode()
SURROGATE = b"\xed\xa0\x80"
OVERLONG = b"\xc0\xaf"
BEYOND = b"\xf4\x90\x80\x80"


def events(*pieces: bytes, limit_bytes: int = 5_000_000) -> list[Event]:
    parser = FrameParser(limit_bytes=limit_bytes)
    return [event for piece in pieces for event in parser.feed(piece)]


def code_of(found: list[Event]) -> int:
    last = found[-1]
    assert isinstance(last, (Violation, Close)), last
    return last.code


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65_535, 65_536, 300_000])
@pytest.mark.parametrize(("opcode", "kind"), [(TEXT, Text), (BINARY, Binary)])
def test_a_message_of_any_size(opcode: int, kind: type[Text | Binary], size: int) -> None:
    payload = bytes(0x20 + at % 64 for at in range(size))
    assert events(frame(opcode, payload)) == [kind(payload)]


def test_several_frames_in_one_read_and_one_frame_in_many() -> None:
    data = frame(TEXT, b"one") + frame(PING, b"?") + frame(BINARY, b"\x00" * 200) + frame(CLOSE, close_payload(1000))
    expected = [Text(b"one"), Ping(b"?"), Binary(b"\x00" * 200), Close(1000, "")]
    assert events(data) == expected
    assert events(*(data[at : at + 1] for at in range(len(data)))) == expected


def test_control_frames_between_the_pieces_of_a_message() -> None:
    found = events(
        frame(TEXT, b"a", fin=False), frame(PING, b"x"), frame(CONT, b"", fin=False), frame(PONG), frame(CONT, b"b")
    )
    assert found == [Ping(b"x"), Pong(b""), Text(b"ab")]


def test_a_character_may_be_cut_between_frames() -> None:
    pieces = [frame(TEXT if at == 0 else CONT, SAMPLE[at : at + 1], fin=False) for at in range(len(SAMPLE))]
    assert events(*pieces, frame(CONT)) == [Text(SAMPLE)]


def test_binary_in_pieces_is_not_text() -> None:
    assert events(frame(BINARY, b"\xff", fin=False), frame(CONT, b"\xfe")) == [Binary(b"\xff\xfe")]


@pytest.mark.parametrize("bad", [SURROGATE, OVERLONG, BEYOND, b"\xff", b"\x80", SAMPLE[:-1]])
def test_text_that_is_not_utf8(bad: bytes) -> None:
    assert code_of(events(frame(TEXT, b"fine " + bad))) == 1007
    assert code_of(events(frame(TEXT, b"fine ", fin=False), frame(CONT, bad))) == 1007


def test_bad_text_is_refused_before_its_message_is_complete() -> None:
    found = events(frame(TEXT, b"fine", fin=False), frame(CONT, SURROGATE, fin=False))
    assert found == [Violation(1007, "text is not UTF-8")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (frame(TEXT, b"x", reserved=0x40), "reserved bit"),
        (frame(BINARY, reserved=0x20), "reserved bit"),
        (frame(PING, reserved=0x10), "reserved bit"),
        (frame(CLOSE, reserved=0x70), "reserved bit"),
        *((frame(opcode), "unknown opcode") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        (frame(TEXT, b"x", mask=None), "not masked"),
        (frame(PING, mask=None), "not masked"),
        (frame(PING, fin=False), "in pieces"),
        (frame(PONG, fin=False), "in pieces"),
        (frame(CLOSE, fin=False), "in pieces"),
        (frame(PING, b"x" * 126), "over 125"),
        (frame(CLOSE, close_payload(1000, b"x" * 124)), "over 125"),
        (frame(CONT, b"x"), "continuation of nothing"),
        (frame(CONT, b"x", fin=False), "continuation of nothing"),
        (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), "inside another"),
        (frame(TEXT, b"x", fin=False) + frame(BINARY, b"y", fin=False), "inside another"),
        (frame(TEXT, b"whole") + frame(CONT, b"late"), "continuation of nothing"),
        (b"\x81\xfe" + struct.pack(">H", 125), "shortest"),
        (b"\x81\xff" + struct.pack(">Q", 65_535), "shortest"),
        (b"\x81\xff" + struct.pack(">Q", 1 << 63), "shortest"),
        (frame(CLOSE, b"\x03"), "half a code"),
        (frame(CLOSE, close_payload(1005)), "may not be sent"),
    ],
)
def test_a_broken_rule_is_named_and_ends_the_stream(data: bytes, words: str) -> None:
    found = events(data, frame(TEXT, b"ignored"))
    assert isinstance(found[-1], Violation)
    assert found[-1].code == 1002
    assert words in found[-1].reason


def test_what_came_before_an_offence_still_counts() -> None:
    assert events(frame(TEXT, b"good") + frame(3) + frame(TEXT, b"ignored"))[:-1] == [Text(b"good")]


def test_nothing_counts_after_a_close() -> None:
    assert events(frame(CLOSE, close_payload(1001, b"bye")) + frame(TEXT, b"late")) == [Close(1001, "bye")]


def test_the_size_limit_is_applied_to_the_head_and_to_the_sum_of_pieces() -> None:
    assert events(frame(BINARY, b"x" * 100), limit_bytes=100) == [Binary(b"x" * 100)]
    assert code_of(events(frame(BINARY, b"x" * 101)[:2], limit_bytes=100)) == 1009
    assert code_of(events(b"\x82\xff" + struct.pack(">Q", 1 << 62))) == 1009
    pieces = [frame(BINARY, b"x" * 60, fin=False), frame(CONT, b"x" * 40, fin=False), frame(PING), frame(CONT, b"x")]
    assert code_of(events(*pieces, limit_bytes=100)) == 1009
    assert events(frame(BINARY, b"x" * 60, fin=False), frame(PING, b"x" * 90), limit_bytes=100) == [Ping(b"x" * 90)]


def test_close_codes() -> None:
    valid = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
    assert {code for code in range(1 << 16) if is_close_code(code)} == valid
    assert events(frame(CLOSE)) == [Close(1005, "")]
    assert events(frame(CLOSE, close_payload(4999, SAMPLE))) == [Close(4999, SAMPLE.decode())]
    assert code_of(events(frame(CLOSE, close_payload(1000, SURROGATE)))) == 1007


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_written_frame_is_whole_plain_and_shortest(size: int, head: bytes) -> None:
    assert encode_frame(TEXT, b"x" * size) == head + b"x" * size


def test_a_written_close() -> None:
    assert encode_close(1000) == b"\x88\x02\x03\xe8"
    assert encode_close(4000, "gone") == b"\x88\x06\x0f\xa0gone"
    assert encode_close(1005) == b"\x88\x00"
    long = encode_close(1011, "é" * 100)
    assert len(long) == 2 + 2 + 122  # a whole character less than the 123 bytes there are
    long[4:].decode()


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 2999, 5000])
def test_a_code_that_may_not_be_sent(code: int) -> None:
    with pytest.raises(ValueError, match=str(code)):
        encode_close(code)


@pytest.mark.parametrize("sizes", [(), (0,), (125, 126, 127), (65_535, 65_536, 3), (1,) * 500])
def test_frames_in_one_packet_are_counted(sizes: tuple[int, ...]) -> None:
    assert count_frames(b"".join(encode_frame(TEXT, b"\x7e" * size) for size in sizes)) == len(sizes)
