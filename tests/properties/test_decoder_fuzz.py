"""Damaged messages never do worse than DecodeError, in bounded time and memory; whole ones come out as they went in."""

import struct
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import pgoutput
from tests.support.pgoutput import TABLE_OID, TEXT
from tidewire.model.change import ABSENT, Change, Operation, Row, Transaction, Value
from tidewire.model.errors import DecodeError
from tidewire.model.position import Lsn
from tidewire.model.relation import Column, Relation
from tidewire.wal.assembler import Assembler
from tidewire.wal.pgoutput import RelationMessage, parse_relation
from tidewire.wal.protocol import Keepalive, parse_keepalive
from tidewire.wal.row_decoder import RowDecoder

OTHER_OID = 17000
IDENTITIES = (b"d", b"f", b"i", b"n")
MOST_BYTES = 8 * 2**20
"""Far more than any message in here needs, far less than the counts in it claim."""

_values: st.SearchStrategy[Value] = st.one_of(
    st.none(), st.just(ABSENT), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
)


def _rows(width: int) -> st.SearchStrategy[Row]:
    return st.tuples(*[_values] * width)


def _relation(width: int, identity: bytes) -> bytes:
    columns = [(f"c{number}", TEXT.oid, number == 0 or identity == b"f") for number in range(width)]
    return pgoutput.relation_message("things", columns, identity=identity)


def _messages(width: int) -> st.SearchStrategy[bytes]:
    """One message of any kind that may stand inside a transaction."""
    rows = _rows(width)
    return st.one_of(
        rows.map(lambda row: pgoutput.insert(*row)),
        st.builds(lambda new, old: pgoutput.update(new, full=old), rows, rows),
        st.builds(lambda new, old: pgoutput.update(new, key=old), rows, rows),
        rows.map(pgoutput.update),
        rows.map(lambda old: pgoutput.delete(full=old)),
        rows.map(lambda old: pgoutput.delete(key=old)),
        st.sampled_from([pgoutput.truncate(TABLE_OID), pgoutput.truncate(TABLE_OID, TABLE_OID)]),
        st.builds(
            lambda prefix, content, whole: pgoutput.emitted(prefix, content, transactional=whole),
            st.text("abc", max_size=4),
            st.binary(max_size=20),
            st.booleans(),
        ),
        st.just(b"O" + bytes(8) + b"elsewhere\0"),
        st.just(b"Y" + struct.pack(">I", 99) + b"public\0mood\0"),
        st.sampled_from(IDENTITIES).map(lambda identity: _relation(width, identity)),
    )


def _keepalive(wal_end: int, *, reply: bool) -> bytes:
    return b"k" + struct.pack(">QqB", wal_end, 0, reply)


@st.composite
def _streams(draw: st.DrawFn) -> list[bytes]:
    """What a server could send: relations, then whole transactions with keepalives between them."""
    width = draw(st.integers(1, 4))
    stream = [_relation(width, draw(st.sampled_from(IDENTITIES)))]
    for number in range(1, draw(st.integers(1, 3)) + 1):
        stream.append(pgoutput.begin(number * 100, xid=number))
        stream += draw(st.lists(_messages(width), max_size=6))
        stream.append(pgoutput.commit(number * 100, number * 100 + 40))
        stream.append(_keepalive(number * 100 + 50, reply=draw(st.booleans())))
    return stream


@st.composite
def _damaged(draw: st.DrawFn) -> list[bytes]:
    """A stream in which some messages lost, gained or changed bytes, or stand where they do not belong."""
    stream = draw(_streams())
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(stream) - 1))
        message = stream[place]
        at = draw(st.integers(0, len(message)))
        noise = draw(st.binary(min_size=1, max_size=6))
        stream[place : place + 1] = draw(
            st.sampled_from(
                [
                    [message[:at]],
                    [message[:at] + noise + message[at:]],
                    [message[:at] + noise + message[at + len(noise) :]],
                    [message[:at] + message[at + len(noise) :]],
                    [message, message],
                    [noise],
                    [],
                ]
            )
        )
        if not stream:
            break
    return stream


def _describe(message: RelationMessage) -> Relation:
    """Stand in for the catalog: every type is text."""
    columns = tuple(Column(column.name, TEXT, column.identity) for column in message.columns)
    return Relation(message.oid, message.schema, message.name, message.identity, columns)


def _read(stream: list[bytes], *, part_events: int = 3) -> list[Transaction]:
    """Read a stream and every row that comes out of it, as the one who follows all tables would."""
    assembler = Assembler(part_events=part_events)
    parts: list[Transaction] = []
    for message in stream:
        item: bytes | Keepalive = parse_keepalive(message) if message[:1] == b"k" else message
        for out in assembler.read([item]):
            if isinstance(out, Transaction):
                parts.append(out)
                for change in out.changes:
                    _ = change.new, change.old
            elif isinstance(out, RelationMessage):
                assembler.define(_describe(out))
    return parts


@given(_streams())
def test_a_whole_stream_is_read_to_its_end(stream: list[bytes]) -> None:
    parts = _read(stream)
    places = [(event.lsn, event.index) for part in parts for event in part.events]
    assert places == sorted(set(places))
    assert all(part.events or part.complete for part in parts)


@given(_damaged())
def test_a_damaged_stream_raises_decode_error_or_nothing(stream: list[bytes]) -> None:
    with suppress(DecodeError):
        _read(stream)


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_noise_raises_decode_error_or_nothing(stream: list[bytes]) -> None:
    with suppress(DecodeError):
        _read([_relation(2, b"d"), pgoutput.begin(100), *stream], part_events=1)


@given(st.data(), st.integers(1, 40))
def test_rows_come_out_as_they_went_in(data: st.DataObject, width: int) -> None:
    new, old = data.draw(_rows(width)), data.draw(_rows(width))
    stream = [
        _relation(width, b"f"),
        pgoutput.begin(100),
        pgoutput.insert(*new),
        pgoutput.update(new, full=old),
        pgoutput.delete(full=old),
        pgoutput.commit(100, 140),
    ]
    events = [event for part in _read(stream) for event in part.events]
    filled = tuple(before if value is ABSENT else value for value, before in zip(new, old, strict=True))
    assert [(e.operation, e.new, e.old) for e in events if isinstance(e, Change)] == [
        ("INSERT", new, None),
        ("UPDATE", filled, old),
        ("DELETE", None, old),
    ]


def _many(kind: bytes, count_format: str) -> bytes:
    return kind + struct.pack(count_format, -1 % 2 ** (8 * struct.calcsize(count_format)))


@pytest.mark.parametrize(
    "message",
    [
        b"I" + struct.pack(">I", TABLE_OID) + b"N" + struct.pack(">H", 2) + b"t\xff\xff\xff\xff" + b"x" * 10,
        b"I" + struct.pack(">I", TABLE_OID) + b"N" + struct.pack(">H", 0xFFFF) + b"n" * 10,
        _many(b"T", ">I") + b"\0" + bytes(40),
        b"M\1" + bytes(8) + b"p\0" + b"\xff\xff\xff\xff" + b"x" * 10,
        b"R" + struct.pack(">I", 1) + b"s\0t\0d" + b"\xff\xff" + b"\0c\0" + bytes(8),
        pgoutput.relation_message("wide", [("c", TEXT.oid, False)] * 5000),
    ],
    ids=["text", "columns", "tables", "content", "relation", "wide-relation"],
)
def test_a_message_that_lies_about_its_size_allocates_nothing_like_it(message: bytes) -> None:
    stream = [_relation(2, b"d"), pgoutput.begin(100)]
    _read(stream)  # what is compiled once is not counted
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            _read([*stream, message], part_events=1)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES


_readers: list[Callable[[bytes], object]] = [parse_keepalive, parse_relation]


_operations: list[Operation] = ["INSERT", "UPDATE", "DELETE", "TRUNCATE"]


@given(
    st.sampled_from(_operations),
    st.integers(0, 4).flatmap(lambda width: st.tuples(st.just(width), _messages(width) | st.binary(max_size=40))),
    st.integers(0, 40),
    st.binary(max_size=4),
)
def test_rows_of_any_bytes_raise_decode_error_or_nothing(
    operation: Operation, message: tuple[int, bytes], at: int, noise: bytes
) -> None:
    """Nothing is between a reader of rows and the bytes: what the assembler let pass comes here as it is."""
    width, data = message
    shape = RowDecoder(_describe(parse_relation(_relation(width, b"d"))))
    with suppress(DecodeError):
        shape.read(operation, data[:at] + noise + data[at + len(noise) :])


@pytest.mark.parametrize("read", _readers)
@given(data=st.binary(max_size=80))
def test_single_messages_raise_decode_error_or_nothing(read: Callable[[bytes], object], data: bytes) -> None:
    with suppress(DecodeError):
        read(data)


def test_a_position_at_the_end_of_the_range_survives() -> None:
    (part,) = _read(
        [_relation(1, b"d"), pgoutput.begin(2**64 - 2), pgoutput.insert("x"), pgoutput.commit(2**64 - 2, 2**64 - 1)]
    )
    assert (part.commit_lsn, part.end_lsn) == (Lsn(2**64 - 2), Lsn(2**64 - 1))
