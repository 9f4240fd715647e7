"""Blocks of running transactions: what is kept, what was rolled back, and the same transactions as without blocks."""

from collections.abc import Iterable
from errno import EIO, EMFILE, ENOSPC
from typing import Any

import pytest

from tests.support import pgoutput
from tests.support.pgoutput import (
    begin,
    commit,
    emitted,
    insert,
    relation_message,
    stream_abort,
    stream_commit,
    stream_start,
    streamed,
    truncate,
    update,
)
from tidewire.model.change import Transaction
from tidewire.model.errors import DecodeError
from tidewire.model.position import Lsn
from tidewire.model.relation import Relation
from tidewire.wal.assembler import Assembler, Resume
from tidewire.wal.envelope import decode, encode
from tidewire.wal.pgoutput import RelationMessage
from tidewire.wal.pieces import RUN_EVENTS
from tidewire.wal.protocol import Keepalive
from tidewire.wal.streams import NotKept, Streams

STOP = b"E"
TABLE = pgoutput.table("id")
DESCRIBED = relation_message("things", [("id", 25, True)])
WIDER = relation_message("things", [("id", 25, True), ("label", 25, False)])
LIMIT_BYTES = 1 << 20


class MemorySpool:
    """A spool that a test can look into."""

    def __init__(self, *, room: int = 1 << 30) -> None:
        self.room = room
        self.data = b""
        self.at = 0
        self.closed = False

    def append(self, data: bytes, /) -> None:
        assert not self.closed
        if len(self.data) + len(data) > self.room:
            raise OSError(ENOSPC, "No space left on device")
        self.data += data

    def truncate(self, size: int, /) -> None:
        self.data = self.data[:size]

    def rewind(self) -> None:
        self.at = 0

    def read(self, size: int, /) -> bytes:
        begin, self.at = self.at, self.at + size
        return self.data[begin : self.at]

    def close(self) -> None:
        self.data, self.closed = b"", True


def block(xid: int, *messages: bytes, first: bool = True) -> list[bytes]:
    """A block of a transaction; a message may name a subtransaction of its own."""
    return [stream_start(xid, first=first), *(streamed(message, xid) for message in messages), STOP]


class Reader:
    """Streams with a catalog that knows every table."""

    def __init__(self, **options: Any) -> None:
        self.spools: list[MemorySpool] = []
        limit_bytes = options.pop("limit_bytes", LIMIT_BYTES)
        self.room = options.pop("room", LIMIT_BYTES)
        self.streams = Streams(Assembler(**options), self._open, limit_bytes=limit_bytes)

    def _open(self) -> MemorySpool:
        if not self.room:
            raise OSError(EMFILE, "Too many open files")
        self.spools.append(MemorySpool(room=self.room))
        return self.spools[-1]

    def read(self, items: Iterable[bytes | Keepalive]) -> list[Transaction]:
        parts = []
        for item in self.streams.read(items):
            if isinstance(item, RelationMessage):
                self.streams.define(relation_of(item))
            elif isinstance(item, Transaction):
                parts.append(item)
        return parts


def relation_of(message: RelationMessage) -> Relation:
    names = [column.name for column in message.columns]
    return pgoutput.table(*names, oid=message.oid)


def shown(parts: Iterable[Transaction]) -> list[tuple[Any, ...]]:
    """What was changed at which place, whatever the parts are."""
    return [
        (event.lsn, event.index, getattr(event, "operation", "MESSAGE"), getattr(event, "new", None))
        for part in parts
        for event in part.events
    ]


def rows(first: int, last: int) -> list[bytes]:
    return [insert(str(number)) for number in range(first, last + 1)]


def test_what_came_in_blocks_is_what_comes_in_one_piece() -> None:
    changes = [DESCRIBED, *rows(1, 3), truncate(TABLE.oid), emitted("app", b"hello"), update(("9",)), *rows(4, 5)]
    whole = Reader().read([begin(100, time_us=5, xid=7), *changes, commit(100, 140, time_us=5)])
    reader = Reader()
    early = reader.read([*block(7, *changes[:4]), *block(7, *changes[4:], first=False)])
    blocks = reader.read([stream_commit(7, 100, 140, time_us=5)])
    assert early == []
    assert shown(blocks) == shown(whole)
    assert [event for part in blocks for event in part.events] == [event for part in whole for event in part.events]
    assert {(part.xid, part.commit_lsn, part.commit_time_us) for part in blocks} == {(7, 100, whole[0].commit_time_us)}
    assert [part.end_lsn for part in blocks if part.complete] == [140]
    assert all(spool.closed for spool in reader.spools)


def test_small_transactions_pass_while_others_run() -> None:
    reader = Reader()
    parts = reader.read(
        [
            *block(7, DESCRIBED, *rows(1, 2)),
            begin(50, xid=8),
            DESCRIBED,
            insert("a"),
            commit(50, 60),
            *block(9, DESCRIBED, *rows(10, 11)),
            *block(7, *rows(3, 3), first=False),
            stream_commit(9, 70, 80),
            stream_commit(7, 90, 95),
        ]
    )
    assert [(lsn, index, new) for lsn, index, _, new in shown(parts)] == [
        (50, 0, ("a",)),
        (70, 0, ("10",)),
        (70, 1, ("11",)),
        (90, 0, ("1",)),
        (90, 1, ("2",)),
        (90, 2, ("3",)),
    ]


def test_a_block_may_be_cut_anywhere_by_what_arrives_at_once() -> None:
    stream: list[bytes | Keepalive] = [
        *block(7, DESCRIBED, *rows(1, 3)),
        *block(7, *rows(4, 5), first=False),
        stream_commit(7, 90, 95),
    ]
    whole = shown(Reader().read(stream))
    for cut in range(len(stream)):
        reader = Reader()
        assert shown([*reader.read(stream[:cut]), *reader.read(stream[cut:])]) == whole


def test_rolled_back_savepoints_leave_no_trace_in_the_places() -> None:
    reader = Reader()
    first = [stream_start(7), streamed(DESCRIBED, 7), *(streamed(row, 7) for row in rows(1, 2))]
    undone = [*(streamed(row, 8) for row in rows(3, 4)), *(streamed(row, 9) for row in rows(5, 5)), STOP]
    kept = [stream_start(7, first=False), *(streamed(row, 10) for row in rows(6, 6))]
    kept += [*(streamed(row, 7) for row in rows(7, 7)), STOP]
    stream = [*first, *undone, stream_abort(7, 9), stream_abort(7, 8), *kept, stream_commit(7, 90, 95)]
    assert [(index, new) for _, index, _, new in shown(reader.read(stream))] == [
        (0, ("1",)),
        (1, ("2",)),
        (2, ("6",)),
        (3, ("7",)),
    ]


def test_of_a_transaction_that_is_rolled_back_nothing_is_kept() -> None:
    reader = Reader()
    assert reader.read([*block(7, DESCRIBED, *rows(1, 2)), stream_abort(7, 7), stream_abort(8, 8)]) == []
    assert reader.spools[0].closed
    with pytest.raises(DecodeError, match="the end of a transaction that never began"):
        reader.read([stream_commit(7, 90, 95)])


def test_whoever_had_some_of_it_gets_the_rest() -> None:
    stream = [*block(7, DESCRIBED, *rows(0, 1199)), stream_commit(7, 90, 95)]
    everything = shown(Reader().read(stream))
    for index in (-1, 0, 17, RUN_EVENTS - 1, RUN_EVENTS, 1198, 1199):
        assert shown(Reader(after=Resume(Lsn(90), index)).read(stream)) == everything[index + 1 :]
    assert Reader(after=Resume(Lsn(91), 0)).read(stream) == []


def test_a_shape_within_a_transaction_is_its_own_until_it_commits() -> None:
    reader = Reader()
    parts = reader.read(
        [
            begin(10, xid=6),
            DESCRIBED,
            insert("a"),
            commit(10, 11),
            *block(7, WIDER, insert("1", "x")),
            begin(20, xid=8),
            insert("b"),
            commit(20, 21),
            stream_commit(7, 30, 31),
            begin(40, xid=9),
            insert("2", "y"),
            commit(40, 41),
        ]
    )
    assert [new for *_, new in shown(parts)] == [("a",), ("b",), ("1", "x"), ("2", "y")]


def test_what_was_described_last_counts_afterwards() -> None:
    reader = Reader()
    parts = reader.read(
        [
            *block(7, DESCRIBED, insert("1")),
            begin(20, xid=8),
            WIDER,
            insert("2", "x"),
            commit(20, 21),
            stream_commit(7, 30, 31),
            begin(40, xid=9),
            insert("3", "y"),
            commit(40, 41),
        ]
    )
    assert [new for *_, new in shown(parts)] == [("2", "x"), ("1",), ("3", "y")]


def test_what_does_not_fit_is_the_largest_and_is_asked_for_when_it_commits() -> None:
    reader = Reader(limit_bytes=20_000)
    assert reader.read([*block(7, DESCRIBED, *rows(0, 999)), *block(8, DESCRIBED, *rows(1, 1))]) == []
    assert [spool.closed for spool in reader.spools] == [True, False]
    assert reader.read([*block(7, *rows(1000, 1999), first=False)]) == []
    assert [new for *_, new in shown(reader.read([stream_commit(8, 20, 21)]))] == [("1",)]
    with pytest.raises(NotKept) as transaction:
        reader.read([stream_commit(7, 30, 31)])
    assert (transaction.value.commit_lsn, transaction.value.reason) == (30, "it is too large")


def test_what_does_not_fit_and_is_rolled_back_troubles_nobody() -> None:
    reader = Reader(limit_bytes=20_000)
    stream = [*block(7, DESCRIBED, *rows(0, 999)), stream_abort(7, 8), stream_abort(7, 7)]
    assert reader.read(stream) == []
    assert [new for *_, new in shown(reader.read([*block(8, DESCRIBED, insert("1")), stream_commit(8, 20, 21)]))] == [
        ("1",)
    ]


@pytest.mark.parametrize(("room", "reason"), [(0, "Too many open files"), (5_000, "No space left on device")])
def test_a_disk_that_is_full_troubles_only_the_transaction(room: int, reason: str) -> None:
    reader = Reader(room=room)
    assert reader.read([*block(7, DESCRIBED, *rows(0, 999)), *block(7, *rows(1, 2), first=False)]) == []
    small = [begin(10, xid=8), DESCRIBED, insert("1"), commit(10, 11)]
    assert [new for *_, new in shown(reader.read(small))] == [("1",)]
    with pytest.raises(NotKept, match=reason):
        reader.read([stream_commit(7, 30, 31)])


def test_a_file_that_cannot_be_read_back_is_no_gap() -> None:
    def broken(_size: int) -> bytes:
        raise OSError(EIO, "Input/output error")

    reader = Reader()
    reader.read(block(7, DESCRIBED, *rows(0, 5)))
    reader.spools[0].read = broken  # type: ignore[method-assign]
    with pytest.raises(NotKept, match="Input/output error"):
        reader.read([stream_commit(7, 30, 31)])


def test_savepoints_count_towards_what_may_be_kept() -> None:
    reader = Reader(limit_bytes=20_000)
    reader.read([stream_start(7), streamed(DESCRIBED, 7), *(streamed(insert("1"), xid) for xid in range(8, 108)), STOP])
    assert reader.spools[0].closed


def test_a_message_that_may_be_rolled_back_or_not_is_not_decided_here() -> None:
    reader = Reader()
    reader.read([stream_start(7), streamed(emitted("app", b"x"), 7), *(streamed(row, 8) for row in rows(1, 1)), STOP])
    with pytest.raises(NotKept, match="rolled back"):
        reader.read([stream_abort(7, 8), stream_commit(7, 20, 21)])


def test_what_is_still_running_goes_with_the_connection() -> None:
    reader = Reader()
    reader.read([*block(7, DESCRIBED, *rows(1, 2)), stream_start(8)])
    reader.streams.close()
    assert all(spool.closed for spool in reader.spools)


def test_a_keepalive_within_a_block_is_passed_over() -> None:
    within, behind = (Keepalive(Lsn(lsn), reply_requested=False) for lsn in (5, 9))
    start, row, stop = block(7, insert("1"))
    assert list(Reader().streams.read([start, within, row, within, stop, behind])) == [behind]


def test_many_savepoints_make_few_parts() -> None:
    reader = Reader()
    messages = [streamed(insert(str(xid)), xid) for xid in range(8, 8 + RUN_EVENTS)]
    parts = reader.read([stream_start(7), streamed(DESCRIBED, 7), *messages, STOP, stream_commit(7, 20, 21)])
    assert [len(part.events) for part in parts] == [RUN_EVENTS, 0]


def test_packed_parts_travel_on_the_bus_as_they_are() -> None:
    part, _ = Reader().read([*block(7, DESCRIBED, *rows(1, 3)), stream_commit(7, 20, 21)])
    again = decode(encode(part))
    assert isinstance(again, Transaction)
    assert again.events == part.events
    assert (again.xid, again.commit_lsn, again.end_lsn, again.renewed) == (7, 20, None, (TABLE.oid,))
    assert again.shapes is not None
    assert [shape.relation.oid for shape in again.shapes] == [TABLE.oid]
    assert again.events[-1] == part.events[-1]
    assert part.changes == tuple(part.events)
    assert not part.emits("app")


@pytest.mark.parametrize(
    "stream",
    [
        [STOP],
        [b"S"],
        [b"c" + bytes(3)],
        [b"A"],
        [*block(7, insert("1")), stream_commit(7, 20, 21)],
        [stream_start(7), begin(1)],
        [begin(1), stream_start(7)],
        [stream_start(7), streamed(b"?", 7)],
    ],
)
def test_what_cannot_be_is_refused(stream: list[bytes]) -> None:
    with pytest.raises(DecodeError):
        Reader().read(stream)
