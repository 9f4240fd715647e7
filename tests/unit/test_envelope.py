"""Envelopes come back as they were, are refused as a whole or not at all, and their keys sort as the stream does."""

from contextlib import suppress
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewire.model.change import ABSENT, Event, LogicalMessage, Resync, Row, Transaction, Value
from tidewire.model.errors import DecodeError
from tidewire.model.position import MAX_INDEX, Lsn
from tidewire.model.relation import Column, PgType, Relation
from tidewire.testing import inserted, rows
from tidewire.wal.envelope import VERSION, Era, decode, encode, era_of

TEXT = PgType(25, "text")
PAIR = PgType(50, "pair", "composite", attributes=(("first", TEXT), ("second", PgType(1007, "_int4", "array", TEXT))))
RELATION = Relation(
    16384,
    "public",
    "place",
    "full",
    (
        Column("id", PgType(20, "int8"), identity=True, primary=True),
        Column("näme", PgType(16400, "short", "domain", base=TEXT), typmod=14),
        Column("corners", PgType(1020, "_box", "array", PgType(603, "box", delimiter=";"), delimiter=";")),
        Column("pair", PAIR),
    ),
)
OTHER = Relation(16385, "public", "other", "nothing", ())
KEYED = Relation(16386, "public", "keyed", "default", (Column("id", TEXT, identity=True), Column("body", TEXT)))
ROWS: list[Row] = [("1", "Ärger", None, "x"), ("2", "", "{}", "(a,{1})")]

texts = st.text(st.characters(exclude_categories=["Cs"]))
values: st.SearchStrategy[Value] = st.one_of(texts, st.none())
full_rows = st.tuples(values, values, values, values)
lsns = st.integers(0, 2**64 - 1).map(Lsn)
unplaced = st.one_of(
    full_rows.map(lambda row: rows.inserted(RELATION, row)),
    st.builds(lambda new, old: rows.updated(RELATION, new, old), full_rows, full_rows),
    full_rows.map(lambda row: rows.deleted(RELATION, row)),
    st.builds(lambda key, body: rows.updated(KEYED, (key, body)), texts, values | st.just(ABSENT)),
    texts.map(lambda key: rows.deleted(KEYED, (key, ABSENT))),
    st.sampled_from([rows.truncated(RELATION), rows.truncated(OTHER), rows.inserted(OTHER, ())]),
)


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    lsn = draw(lsns)
    events: list[Event] = []
    for index in sorted(draw(st.sets(st.integers(0, MAX_INDEX), max_size=6))):
        if draw(st.booleans()):
            events.append(msgspec.structs.replace(draw(unplaced), lsn=lsn, index=index))
        else:
            events.append(LogicalMessage(lsn, index, draw(st.text()), draw(st.binary())))
    xid = draw(st.integers(0, 2**32 - 1))
    renewed = tuple(draw(st.lists(st.integers(0, 2**32 - 1), max_size=3)))
    return Transaction(xid, lsn, draw(st.integers(-(2**62), 2**62)), tuple(events), draw(st.none() | lsns), renewed)


@given(transactions())
def test_a_transaction_comes_back_equal(transaction: Transaction) -> None:
    decoded = decode(encode(transaction))
    assert decoded == transaction
    assert isinstance(decoded, Transaction)
    assert [type(event) for event in decoded.events] == [type(event) for event in transaction.events]
    for ours, theirs in zip(decoded.changes, transaction.changes, strict=True):
        assert (ours.new, ours.old, ours.operation) == (theirs.new, theirs.old, theirs.operation)


@given(st.text(), st.text())
def test_a_resync_comes_back_equal(epoch: str, reason: str) -> None:
    assert decode(encode(Resync(epoch, reason))) == Resync(epoch, reason)


def test_absent_is_not_null() -> None:
    sent: list[Row] = [("1", ABSENT), ("1", None)]
    changes = tuple(rows.updated(KEYED, row, index=index) for index, row in enumerate(sent))
    decoded = decode(encode(Transaction(1, Lsn(1), 0, changes, Lsn(2))))
    assert isinstance(decoded, Transaction)
    assert [change.new for change in decoded.changes] == sent
    assert [change.old for change in decoded.changes] == [("1", ABSENT)] * 2


def test_equal_relations_are_one_object_across_envelopes() -> None:
    copy = msgspec.structs.replace(RELATION)
    assert copy is not RELATION
    decoded = [decode(encode(inserted(relation, ROWS, lsn=5))) for relation in (RELATION, copy)]
    relations = {id(change.relation) for each in decoded if isinstance(each, Transaction) for change in each.changes}
    assert len(relations) == 1


def test_a_table_altered_within_a_transaction_has_two_shapes() -> None:
    altered = msgspec.structs.replace(RELATION, columns=RELATION.columns[:2])
    before = inserted(RELATION, ROWS, lsn=5, complete=False)
    after = inserted(altered, [("1", "x")], lsn=5, first_index=2)
    decoded = decode(encode(msgspec.structs.replace(after, events=(*before.events, *after.events))))
    assert isinstance(decoded, Transaction)
    assert [change.relation for change in decoded.changes] == [RELATION, RELATION, altered]


def test_a_relation_is_written_once_however_many_rows() -> None:
    one, many = (len(encode(inserted(OTHER, [()] * count, lsn=5))) for count in (1, 101))
    assert many - one < 101 * 20


def test_the_bytes_are_what_version_3_says() -> None:
    """Field by field: another version of Tidewire on another node must read what this one writes."""
    relation = Relation(7, "s", "t", "default", (Column("c", TEXT, identity=True, primary=True, typmod=-1),))
    transaction = Transaction(
        9,
        Lsn(16),
        -1,
        (
            rows.updated(relation, ("x",), lsn=16),
            LogicalMessage(Lsn(16), 1, "p", b"m"),
        ),
        None,
        (7,),
    )
    assert encode(transaction) == b"".join(
        [
            b"\x03T",
            b"\x98",  # an array of eight
            b"\x09",  # xid
            b"\x10",  # commit LSN
            b"\xff",  # commit time
            b"\xc0",  # no end LSN: more parts follow
            b"\x91",  # one relation:
            b"\xc4\x26",  # 38 bytes, so that a reader can recognise it unread
            b"\x95\x07\xa1s\xa1t\xa7default",
            b"\x91",  # one column: name, type, identity, primary, typmod
            b"\x95\xa1c",
            b"\x97\x19\xa4text\xa4base\xa1,\xc0\xc0\x90",
            b"\xc3\xc3\xff",
            b"\x91",  # one change: relation, index, log message
            b"\x93\x00\x00",
            b"\xc4\x0e",  # 14 bytes, as Postgres sent them
            b"U\x00\x00\x00\x07N\x00\x01t\x00\x00\x00\x01x",
            b"\x91",  # one message: index, prefix, content
            b"\x93\x01\xa1p\xc4\x01m",
            b"\x91\x07",  # one table described anew: its number
        ]
    )
    assert encode(Resync("e", "r")) == b"\x03R\x92\xa1e\xa1r"


def test_another_version_is_refused_with_a_remedy() -> None:
    payload = bytes((VERSION + 1,)) + encode(Resync("e", "r"))[1:]
    with pytest.raises(DecodeError, match=r"expected version 3.*same version of Tidewire"):
        decode(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x03",
        b"\x03T",
        b"\x03X\x92\xa1e\xa1r",
        encode(inserted(RELATION, ROWS, lsn=5))[:-1],
        encode(inserted(RELATION, ROWS, lsn=5)) + b"\x00",
        b"\x03T" + msgspec.msgpack.encode((1, 2, 3, None, [], [(0, 0, b"I")], [], [])),  # no such relation
        b"\x03T" + msgspec.msgpack.encode((1, 2, 3, None, [b"\x91"], [], [], [])),  # a broken relation
        b"\x03T" + msgspec.msgpack.encode((1, -2, 3, None, [], [], [], [])),  # a negative LSN
        b"\x03T" + msgspec.msgpack.encode((1, 2, 3, None, [], [], [(0, "p", "text")], [])),  # content is bytes
        b"\x03T"
        + msgspec.msgpack.encode((1, 2, 3, None, [], [], [(0, "ab", b"")], [])).replace(b"ab", b"\xff\xff"),  # no text
        b"\x03T" + msgspec.msgpack.encode((1, 2, 3, None, [], [], [], [-1])),  # a negative number of a table
        encode(inserted(KEYED, [("1", "x")], lsn=5)).replace(b"I\0\0", b"T\0\0"),  # that message does not travel
        b"\x03T\x98\x01\x02\x03\xc0" + b"\x91" * 100_000,
        b"\x03R\xdd\xff\xff\xff\xff",
    ],
)
def test_garbage_is_a_decode_error(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(payload)


def test_a_relation_nested_without_end_is_a_decode_error() -> None:
    open_type = b"\x97\x01\xa1t\xa5array\xa1,"
    relation = b"\x95\x01\xa1s\xa1t\xa4full\x91\x95\xa1c" + open_type * 50_000
    payload = b"\x03T" + msgspec.msgpack.encode((1, 2, 3, None, [relation], [], [], []))
    with pytest.raises(DecodeError):
        decode(payload)


@given(transactions(), st.data())
def test_damaged_envelopes_raise_nothing_but_a_decode_error(transaction: Transaction, data: st.DataObject) -> None:
    payload = bytearray(encode(transaction))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with suppress(DecodeError):
        decoded = decode(bytes(payload))
        for change in decoded.changes if isinstance(decoded, Transaction) else ():
            with suppress(DecodeError):
                _ = change.new, change.old


def test_an_error_does_not_quote_a_row() -> None:
    payload = encode(inserted(KEYED, [("1", "hunter2")], lsn=5))
    with pytest.raises(DecodeError) as caught:
        decode(payload[:-1])
    assert "hunter2" not in str(caught.value)


def test_a_damaged_row_is_refused_to_whoever_reads_it_and_does_not_stand_in_the_error() -> None:
    whole = rows.inserted(KEYED, ("1", "hunter2"))
    damaged = msgspec.structs.replace(whole, data=whole.data[:-1], index=1)
    decoded = decode(encode(Transaction(1, Lsn(1), 0, (whole, damaged), Lsn(2))))
    assert isinstance(decoded, Transaction)
    first, second = decoded.changes
    assert first.new == ("1", "hunter2")
    with pytest.raises(DecodeError) as caught:
        _ = second.new
    assert "hunter2" not in str(caught.value)


# --- keys ----------------------------------------------------------------------------------------------------

ERA = Era(1, "abc")


def part(lsn: int, indexes: range, *, complete: bool) -> Transaction:
    return inserted(RELATION, [ROWS[0]] * len(indexes), lsn=lsn, first_index=indexes.start, complete=complete)


def test_keys_sort_as_the_stream() -> None:
    stream = [
        ERA.key(),
        ERA.key(part(9, range(1), complete=True)),
        ERA.key(part(16, range(10), complete=False)),
        ERA.key(part(16, range(10, 300), complete=False)),
        ERA.key(part(16, range(300, 301), complete=True)),
        ERA.key(part(2**63, range(1), complete=True)),
        Era(2, "00first").key(),
        Era(2, "00first").key(part(8, range(1), complete=True)),  # a new cluster counts from low LSNs again
        Era(16, "a").key(),
        Era(256, "Z").key(),
    ]
    assert stream == sorted(stream)
    assert len(set(stream)) == len(stream)


def test_a_repeat_has_the_same_key() -> None:
    assert ERA.key(part(16, range(10), complete=False)) == ERA.key(part(16, range(10), complete=False))


@given(st.lists(st.integers(1, 40), unique=True), st.lists(st.integers(1, 40), unique=True))
def test_however_a_transaction_is_cut_when_it_comes_again_nothing_is_lost(first: list[int], again: list[int]) -> None:
    """The first delivery breaks off after any part; together with the second, every event is taken, and an end."""

    def cut(places: list[int]) -> list[Transaction]:
        edges = [0, *sorted(places), 41]
        parts = [part(7, range(*edge), complete=False) for edge in pairwise(edges)]
        return [*parts[:-1], part(7, range(edges[-2], 41), complete=True)]

    for broken_off_after in range(len(first) + 2):
        last, taken = "", []
        for each in [*cut(first)[:broken_off_after], *cut(again)]:
            if (key := ERA.key(each)) > last:
                last = key
                taken.append(each)
        assert {event.index for each in taken for event in each.events} == set(range(41))
        assert [each.complete for each in taken].count(True) == 1
        assert taken[-1].complete


def test_an_empty_part_does_not_hide_the_next() -> None:
    empty, first = part(16, range(0), complete=False), part(16, range(1), complete=False)
    assert ERA.key(empty) < ERA.key(first) < ERA.key(part(16, range(0), complete=True))


@pytest.mark.parametrize("transaction", [None, part(3, range(2), complete=True), part(3, range(2), complete=False)])
def test_an_era_is_read_back_from_its_keys(transaction: Transaction | None) -> None:
    assert era_of(Era(77, "0aZ").key(transaction)) == Era(77, "0aZ")


def test_a_new_stream_has_no_era() -> None:
    assert era_of("") is None


@pytest.mark.parametrize(
    "key", ["x", "1.abc", "00000001.", "00000001.a-b", "0000000g.a", "00000001.a.5", "00000001.a\n"]
)
def test_a_key_of_somebody_else_is_refused(key: str) -> None:
    with pytest.raises(DecodeError, match=r"expected NUMBER\.EPOCH"):
        era_of(key)
