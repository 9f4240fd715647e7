"""The bytes of a connection are cut into the same items wherever the network cut them, and garbage is named as such."""

import struct
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.model.errors import DecodeError
from tidewire.model.position import Lsn
from tidewire.wal.frontend import Ended, Received, Splitter, Started, copy_data, query
from tidewire.wal.protocol import POSTGRES_EPOCH_US, Keepalive


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


def logged(data: bytes) -> bytes:
    return message(b"d", b"w" + bytes(24) + data)


KEEPALIVE = message(b"d", b"k" + struct.pack(">QqB", 77, 0, 1))
STREAM = (
    message(b"N", b"SNOTICE\0\0")
    + message(b"W", b"\0\0\0")
    + logged(b"B")
    + KEEPALIVE
    + message(b"S", b"TimeZone\0UTC\0")
    + logged(b"I" + bytes(700))
    + logged(b"C")
    + message(b"E", b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0")
)
Item = bytes | Keepalive | Started | Ended
ITEMS: list[Item] = [
    b"B",
    Keepalive(Lsn(77), reply_requested=True, sent_us=POSTGRES_EPOCH_US),
    b"I" + bytes(700),
    b"C",
    Started(),
    Ended("57P01", "terminating connection"),
]


def split(*pieces: bytes) -> list[Item]:
    """Feed the pieces; return the log messages and, behind them, everything else."""
    splitter = Splitter()
    received = [splitter.feed(piece) for piece in pieces]
    logged = [item for batch in received for item in batch.logged]
    others = [item for batch in received for item in batch.others]
    assert [item for item in logged if isinstance(item, Keepalive)] == [i for i in others if isinstance(i, Keepalive)]
    return [*logged, *(item for item in others if not isinstance(item, Keepalive))]


def test_one_piece() -> None:
    assert split(STREAM) == ITEMS


def test_byte_by_byte() -> None:
    assert split(*(STREAM[n : n + 1] for n in range(len(STREAM)))) == ITEMS


@given(st.lists(st.integers(0, len(STREAM)), max_size=8).map(sorted))
def test_wherever_it_is_cut(cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    assert split(*(STREAM[a:b] for a, b in pairwise(edges))) == ITEMS


def test_a_large_message_is_put_together_once() -> None:
    data = logged(b"I" + b"x" * 3_000_000) + logged(b"C")
    pieces = [data[n : n + 4096] for n in range(0, len(data), 4096)]
    first, second = split(*pieces)
    assert isinstance(first, bytes)
    assert len(first) == 3_000_001
    assert second == b"C"


def test_a_piece_of_something_large_was_heard_but_does_not_count_yet() -> None:
    data = logged(b"I" + b"x" * 10_000)
    splitter = Splitter()
    pieces = [splitter.feed(piece) for piece in (data[:3], data[3:9_000], data[9_000:9_001], data[9_001:])]
    assert [piece.arrived for piece in pieces] == [True] * 4
    assert [piece.size for piece in pieces] == [0, 0, 0, len(data)]
    assert not Received().arrived


@given(st.lists(st.integers(0, len(STREAM)), max_size=8).map(sorted))
def test_every_byte_counts_once(cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    splitter = Splitter()
    assert sum(splitter.feed(STREAM[a:b]).size for a, b in pairwise(edges)) == len(STREAM)


def test_the_end_without_a_reason() -> None:
    assert split(message(b"c", b"")) == [Ended("", "the server closed the stream")]


@pytest.mark.parametrize(
    "data",
    [
        message(b"?", b""),
        b"d\0\0\0\0rest",  # a length that does not even cover itself
        b"d\xff\xff\xff\xff",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        message(b"d", b"k" + bytes(3)),
        message(b"d", b"z"),
        message(b"d", b""),
    ],
)
def test_what_is_not_the_protocol_is_named_as_such(data: bytes) -> None:
    with pytest.raises(DecodeError):
        split(data)


@given(st.binary(max_size=300))
def test_garbage_raises_our_error_only(data: bytes) -> None:
    with suppress(DecodeError):
        split(data)


def test_what_we_write_field_by_field() -> None:
    assert query("ab") == b"Q" + struct.pack(">I", 7) + b"ab\0"
    assert copy_data(b"r!") == b"d" + struct.pack(">I", 6) + b"r!"
