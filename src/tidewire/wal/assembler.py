"""Log messages in, transactions out. Keeps the place (commit LSN, index) and splits large transactions into parts.

It reads no rows: a change carries the bytes of its message. Nothing large is held: as soon as a part is full it leaves,
so a transaction of any size passes through bounded memory.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NoReturn

from msgspec import Struct

from tidewire.model.change import Change, Event, LogicalMessage, Operation, Shape, Transaction
from tidewire.model.errors import DecodeError
from tidewire.model.position import MAX_INDEX, Lsn
from tidewire.model.relation import Relation
from tidewire.wal import pgoutput
from tidewire.wal.packed import PackedChanges, Run
from tidewire.wal.protocol import Keepalive
from tidewire.wal.row_decoder import RowDecoder

PART_EVENTS = 100
"""Small enough to stay in the processor's cache: with 1000, rows of a large transaction took a sixth longer."""
PART_BYTES = 1 << 20

_OPERATIONS: Final[Mapping[int, Operation]] = {
    pgoutput.INSERT: "INSERT",
    pgoutput.UPDATE: "UPDATE",
    pgoutput.DELETE: "DELETE",
}


class Resume(Struct, frozen=True):
    """The last event already handed out. The assembler does not repeat it or anything before it."""

    lsn: Lsn
    index: int


class Assembler:
    """Feed it messages in the order they came; it returns a Transaction whenever a part is ready.

    The caller must `define` each relation that `read` yields before going on: that step needs the catalog, which this
    floor does not know.
    """

    def __init__(
        self, *, after: Resume | None = None, part_events: int = PART_EVENTS, part_bytes: int = PART_BYTES
    ) -> None:
        self._after = after or Resume(Lsn(0), -1)
        self._part_events = part_events
        self._part_bytes = part_bytes
        self._shapes: dict[bytes, RowDecoder] = {}
        """By relation number, as the four bytes that stand in every message."""
        self._begin: pgoutput.Begin | None = None
        self._index = 0
        self._skip_to = -1
        """Events of the open transaction up to this index have been handed out before."""
        self._events: list[Event] = []
        self._bytes = 0
        self._renewed: dict[int, None] = {}
        """Relations described since the last part, in order. They are no events: no index may depend on them."""
        self._handlers: dict[int, Callable[[bytes], Transaction | None]] = {
            pgoutput.BEGIN: self._on_begin,
            pgoutput.COMMIT: self._on_commit,
            pgoutput.INSERT: self._on_row,
            pgoutput.UPDATE: self._on_row,
            pgoutput.DELETE: self._on_row,
            pgoutput.TRUNCATE: self._on_truncate,
            pgoutput.MESSAGE: self._on_message,
            pgoutput.TYPE: self._on_nothing,  # the catalog knows more about types than this message says
            pgoutput.ORIGIN: self._on_nothing,  # where a transaction was first made does not matter to readers
        }

    def define(self, relation: Relation) -> None:
        """Read rows of `relation` in this shape from here on."""
        self._shapes[relation.oid.to_bytes(4, "big")] = RowDecoder(relation)

    def shape_of(self, oid: int) -> RowDecoder | None:
        """Return how rows of a relation are read now."""
        return self._shapes.get(oid.to_bytes(4, "big"))

    def read(
        self, items: Iterable[bytes | Keepalive]
    ) -> Iterator[Transaction | pgoutput.RelationMessage | Keepalive | bytes]:
        """Take the next items of the stream. Four kinds of things come out, in the order of the stream:

        transactions; relations, which must be defined before going on; keepalives between transactions; and, as they
        are, the messages around blocks of running transactions, whose contents are not for this assembler. Raises
        DecodeError, after which the stream must be started again. Rows are not looked into: one that is damaged raises
        DecodeError where it is read, and nothing here.
        """
        handlers = self._handlers
        try:
            for item in items:
                if not isinstance(item, bytes):
                    if self._begin is None:
                        yield item
                elif (handler := handlers.get(item[0])) is not None:
                    if (part := handler(item)) is not None:
                        yield part
                elif item[0] == pgoutput.RELATION:
                    relation = pgoutput.parse_relation(item)
                    self._renewed[relation.oid] = None
                    yield relation
                elif item[0] in pgoutput.STREAM_CONTROL and self._begin is None:
                    yield item
                else:
                    raise DecodeError(f"reading the log: unknown message {item[:1]!r}")
        except IndexError:
            raise DecodeError("reading the log: expected a message, got no bytes at all") from None

    def feed(self, data: bytes) -> Transaction | None:
        """Take one message that is not a relation; the same as `read` otherwise."""
        for item in self.read((data,)):
            if isinstance(item, Transaction):
                return item
        return None

    def take(self, run: Run) -> Iterator[Transaction]:
        """Take many rows of the open transaction as they are, without looking at each."""
        begin, first = self._begin or self._open(), self._index
        if first <= self._skip_to:  # some of it was handed out before
            for data in run.messages():
                if (part := self._on_row(data)) is not None:
                    yield part
            return
        if self._events and (part := self._part(begin, None)) is not None:
            yield part
        shapes: dict[bytes, Shape] = {oid: self._shapes.get(oid) or self._never_described() for oid in run.oids}
        self._index = first + run.count
        events = PackedChanges(begin.commit_lsn, first, shapes, run)
        yield Transaction(
            begin.xid, begin.commit_lsn, begin.commit_time_us, events, None, self._take_renewed(), events.shapes
        )

    def _on_begin(self, data: bytes) -> None:
        if self._begin is not None:
            raise DecodeError("reading the log: a transaction begins inside another")
        self._begin = begin = pgoutput.parse_begin(data)
        after = self._after
        if begin.commit_lsn > after.lsn:
            self._skip_to = -1
        else:
            self._skip_to = after.index if begin.commit_lsn == after.lsn else MAX_INDEX
        self._index = 0

    def _on_commit(self, data: bytes) -> Transaction | None:
        begin = self._begin or self._open()
        commit = pgoutput.parse_commit(data)
        if commit.commit_lsn != begin.commit_lsn:
            raise DecodeError("reading the log: a commit does not belong to the open transaction")
        part = self._part(begin, commit.end_lsn)
        self._begin, self._skip_to = None, -1
        return part

    def _on_row(self, data: bytes) -> Transaction | None:
        """Note a changed row. One method for all three: the row itself waits for a reader."""
        index = self._index
        self._index = index + 1
        if index <= self._skip_to:
            return None
        begin = self._begin or self._open()
        shape = self._shapes.get(data[1:5]) or self._never_described()
        events = self._events
        events.append(Change(begin.commit_lsn, index, _OPERATIONS[data[0]], shape, data))
        self._bytes += len(data)
        return self._part(begin, None) if self._bytes >= self._part_bytes or len(events) >= self._part_events else None

    def _on_truncate(self, data: bytes) -> None:
        begin = self._open()
        for oid in pgoutput.parse_truncate(data).relation_oids:
            shape = self._shapes.get(oid.to_bytes(4, "big")) or self._never_described()
            if self._index > self._skip_to:
                self._events.append(Change(begin.commit_lsn, self._index, "TRUNCATE", shape, b""))
            self._index += 1

    def _on_message(self, data: bytes) -> Transaction | None:
        message = pgoutput.parse_emitted(data)
        if not message.transactional:
            return None  # it has no place in the commit order, so no position could name it
        begin, index = self._open(), self._index
        self._index = index + 1
        if index <= self._skip_to:
            return None
        return self._add(LogicalMessage(begin.commit_lsn, index, message.prefix, message.content), len(data))

    def _on_nothing(self, data: bytes) -> None:
        pass

    def _open(self) -> pgoutput.Begin:
        if self._begin is None:
            raise DecodeError("reading the log: an event outside any transaction")
        return self._begin

    def _never_described(self) -> NoReturn:
        raise DecodeError("reading the log: an event of a relation that was never described")

    def _add(self, event: Event, size: int) -> Transaction | None:
        """Gather an event; hand over a part when it is full."""
        events = self._events
        events.append(event)
        self._bytes += size
        if self._bytes >= self._part_bytes or len(events) >= self._part_events:
            return self._part(self._open(), None)
        return None

    def _part(self, begin: pgoutput.Begin, end_lsn: Lsn | None) -> Transaction | None:
        """Hand over what has gathered. A transaction that holds nothing for anyone is dropped whole."""
        events, self._events, self._bytes = tuple(self._events), [], 0
        if not events and (self._index == 0 or begin.commit_lsn < self._after.lsn):
            return None
        renewed = self._take_renewed() if self._renewed else ()
        return Transaction(begin.xid, begin.commit_lsn, begin.commit_time_us, events, end_lsn, renewed)

    def _take_renewed(self) -> tuple[int, ...]:
        renewed, self._renewed = tuple(self._renewed), {}
        return renewed
