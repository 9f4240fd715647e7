"""Messages become transactions: identity, parts, resuming, and everything a damaged stream may not do."""

from typing import Any

import pytest

from tests.support import pgoutput
from tests.support.pgoutput import begin, commit, emitted, insert, truncate
from tidewire.model.change import Change, LogicalMessage, Transaction
from tidewire.model.errors import DecodeError
from tidewire.model.position import Lsn
from tidewire.wal.assembler import Assembler, Resume
from tidewire.wal.pgoutput import RelationMessage

TABLE = pgoutput.table("id")


def assemble(*messages: bytes, **options: Any) -> list[Transaction]:
    assembler = Assembler(**options)
    assembler.define(TABLE)
    return [part for message in messages if (part := assembler.feed(message)) is not None]


def identities(parts: list[Transaction]) -> list[tuple[int, int]]:
    return [(event.lsn, event.index) for part in parts for event in part.events]


def test_a_transaction_carries_its_identity_time_and_end() -> None:
    (transaction,) = assemble(begin(100, time_us=5, xid=42), insert("1"), insert("2"), commit(100, 140))
    assert transaction.xid == 42
    assert transaction.commit_lsn == 100
    assert transaction.end_lsn == 140
    assert transaction.commit_time_us == 946_684_800_000_005
    assert transaction.complete
    assert [change.new for change in transaction.changes] == [("1",), ("2",)]
    assert identities([transaction]) == [(100, 0), (100, 1)]


def test_only_events_count_towards_the_index() -> None:
    origin, type_message = b"O" + bytes(8) + b"elsewhere\0", b"Y" + bytes(4) + b"public\0mood\0"
    parts = assemble(begin(1), origin, insert("a"), type_message, insert("b"), commit(1, 2))
    assert identities(parts) == [(1, 0), (1, 1)]


def test_truncate_gives_each_table_its_own_place() -> None:
    other = pgoutput.table("id", oid=17000)
    assembler = Assembler()
    assembler.define(TABLE)
    assembler.define(other)
    for message in (begin(1), insert("a"), truncate(TABLE.oid, other.oid)):
        assert assembler.feed(message) is None
    part = assembler.feed(commit(1, 2))
    assert part is not None
    assert [(c.operation, c.relation.oid, c.index) for c in part.changes] == [
        ("INSERT", TABLE.oid, 0),
        ("TRUNCATE", TABLE.oid, 1),
        ("TRUNCATE", 17000, 2),
    ]


def test_transactional_messages_take_part_and_others_do_not() -> None:
    (part,) = assemble(
        begin(1), emitted("tidewire", b"\0\xff"), emitted("x", b"", transactional=False), insert("a"), commit(1, 2)
    )
    message, change = part.events
    assert isinstance(message, LogicalMessage)
    assert isinstance(change, Change)
    assert (message.prefix, message.content, message.index) == ("tidewire", b"\0\xff", 0)
    assert change.index == 1


def test_a_message_outside_any_transaction_is_ignored() -> None:
    assert assemble(emitted("x", b"", transactional=False)) == []


def test_an_empty_transaction_is_dropped() -> None:
    assert assemble(begin(1), commit(1, 2)) == []


def test_a_large_transaction_leaves_in_parts() -> None:
    parts = assemble(begin(1), *(insert(str(n)) for n in range(10)), commit(1, 2), part_events=4)
    assert [len(part.events) for part in parts] == [4, 4, 2]
    assert [part.end_lsn for part in parts] == [None, None, 2]
    assert identities(parts) == [(1, n) for n in range(10)]


def test_parts_are_bounded_by_bytes_too() -> None:
    parts = assemble(begin(1), *(insert("x" * 600) for _ in range(4)), commit(1, 2), part_bytes=1000)
    assert [len(part.events) for part in parts] == [2, 2, 0]


@pytest.mark.parametrize("delivered", range(-1, 6))
def test_resuming_within_a_transaction_repeats_nothing_and_misses_nothing(delivered: int) -> None:
    messages = [begin(1), insert("z"), commit(1, 2), begin(5), *(insert(str(n)) for n in range(6)), commit(5, 6)]
    parts = assemble(*messages, after=Resume(Lsn(5), delivered), part_events=2)
    assert identities(parts) == [(5, n) for n in range(delivered + 1, 6)]
    assert parts[-1].end_lsn == 6  # even with nothing left to repeat it must still be confirmed


def renewals(*messages: bytes, **options: Any) -> list[tuple[tuple[int, ...], list[int]]]:
    """Return for each part what it says was described anew, and the indexes of its events."""
    assembler, parts = Assembler(**options), []
    for item in assembler.read(messages):
        if isinstance(item, RelationMessage):
            assembler.define(pgoutput.table("id", oid=item.oid))
        elif isinstance(item, Transaction):
            parts.append((item.renewed, [event.index for event in item.events]))
    return parts


def described(oid: int = TABLE.oid) -> bytes:
    return pgoutput.relation_message("things", [("id", 25, True)], oid=oid)


def test_a_part_tells_which_relations_were_described_before_its_end() -> None:
    other = TABLE.oid + 1
    assert renewals(
        *(begin(1), described(), insert("a"), described(), insert("b"), commit(1, 2)),
        *(begin(3), insert("c"), commit(3, 4)),
        *(begin(5), described(other), insert("d", oid=other), described(), insert("e"), commit(5, 6)),
    ) == [((TABLE.oid,), [0, 1]), ((), [0]), ((other, TABLE.oid), [0, 1])]


def test_of_a_large_transaction_the_part_with_the_next_change_tells() -> None:
    rows = [insert("a"), insert("b"), described(), insert("c"), insert("d"), commit(1, 2)]
    assert renewals(begin(1), described(), *rows, part_events=2) == [
        ((TABLE.oid,), [0, 1]),
        ((TABLE.oid,), [2, 3]),
        ((), []),
    ]


def test_what_was_described_before_a_change_that_is_not_repeated_is_told_with_the_next() -> None:
    earlier = [begin(1), described(), insert("a"), commit(1, 2)]
    assert renewals(*earlier, begin(5), insert("b"), commit(5, 6), after=Resume(Lsn(1), 0)) == [
        ((TABLE.oid,), []),
        ((), [0]),
    ]
    assert renewals(*earlier, begin(5), insert("b"), commit(5, 6), after=Resume(Lsn(4), 0)) == [((TABLE.oid,), [0])]


@pytest.mark.parametrize(
    "messages",
    [
        [b""],
        [b"?"],
        [insert("1")],
        [commit(1, 2)],
        [begin(1), begin(2)],
        [begin(1), commit(3, 4)],
        [begin(1), insert("1", oid=999)],
        [begin(1), truncate(999)],
        [begin(1)[:-1]],
        [begin(1), commit(1, 2) + b"x"],
        [begin(1), b"T" + b"\xff" * 5],
        [begin(1), b"M" + b"\xff" * 30],
    ],
)
def test_a_damaged_stream_raises_our_error_only(messages: list[bytes]) -> None:
    with pytest.raises(DecodeError):
        assemble(*messages)
