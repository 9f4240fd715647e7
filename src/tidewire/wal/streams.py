"""Sorts out what running transactions send in blocks, keeps it until they commit, and hands it on as if it came then.

What is handed on is what `Assembler` makes of it, under the same places as if nothing had come before the commit. Where
blocks are kept is the caller's: this decides what is kept, what was rolled back, and when there is too much.
"""

from collections.abc import Callable, Iterable, Iterator
from struct import Struct as Layout
from typing import Final, Protocol

from tidewire.model.change import Transaction
from tidewire.model.errors import DecodeError
from tidewire.model.position import Lsn
from tidewire.model.relation import Relation
from tidewire.wal import pgoutput
from tidewire.wal.assembler import Assembler
from tidewire.wal.packed import OPERATIONS, Run
from tidewire.wal.protocol import Keepalive
from tidewire.wal.row_decoder import RowDecoder

RUN_EVENTS: Final = 200
RUN_BYTES: Final = 128 * 1024
"""What passes in one piece when a large transaction commits: 0.1 ms, or 2 ms with a reader of each."""
NOTE_BYTES: Final = 256
"""What it costs to remember where a subtransaction began; counted as well, as there may be as many of them as rows."""

_HEAD = Layout(">BIHI")
"""Of each piece that is kept: its kind, its number of rows, of relations, of bytes."""
_ROWS: Final = 0


class Spool(Protocol):
    """Where one transaction's blocks lie: bytes that are appended, cut off at the end, and read once from the start.

    Each of these may raise OSError, but for `close`.
    """

    def append(self, data: bytes, /) -> None:
        """Add bytes behind all others."""
        ...

    def truncate(self, size: int, /) -> None:
        """Forget everything behind so many bytes."""
        ...

    def rewind(self) -> None:
        """Read from the start from now on."""
        ...

    def read(self, size: int, /) -> bytes:
        """Return the next so many bytes."""
        ...

    def close(self) -> None:
        """Forget everything."""
        ...


class NotKept(Exception):  # noqa: N818 - no error: an answer that the caller must act on
    """The transaction that commits at `commit_lsn` cannot be put together here: read it once more, in one piece."""

    def __init__(self, commit_lsn: Lsn, reason: str) -> None:
        super().__init__(commit_lsn, reason)
        self.commit_lsn = commit_lsn
        self.reason = reason


class _Running:
    """What one running transaction has sent."""

    __slots__ = ("_began", "_has_messages", "_oids", "_rows", "_rows_bytes", "_sub", "reason", "size", "spool")

    def __init__(self, open_spool: Callable[[], Spool]) -> None:
        self.spool: Spool | None = None
        """None when it is not kept, and then `reason` says why."""
        self.reason = ""
        try:
            self.spool = open_spool()
        except OSError as error:
            self.reason = _failed(error)
        self._has_messages = False
        self.size = 0
        """Bytes that it holds, in the spool and in notes."""
        self._began: dict[bytes, int] = {}
        """Where the first change of each (sub)transaction lies; these places only grow."""
        self._sub = b""
        self._rows: list[bytes] = []
        self._oids: dict[bytes, None] = {}
        self._rows_bytes = 0

    def take_rows(self, items: Iterator[bytes | Keepalive]) -> bytes | None:
        """Keep rows up to the first message that is none, and return that; None where the items end."""
        for item in items:
            if not isinstance(item, bytes):
                continue  # a keepalive within a block says nothing that the next one does not
            if item[0] not in OPERATIONS:
                self.flush()
                return item
            if item[1:5] != self._sub:
                self._turn_to(item[1:5])
            self._rows.append(item)
            self._rows_bytes += len(item)
            self._oids[item[5:9]] = None
            if self._rows_bytes >= RUN_BYTES or len(self._rows) >= RUN_EVENTS:
                self.flush()
        return None

    def take_other(self, data: bytes, arrival: int) -> None:
        """Keep any other message, with the number by which it is known when it came."""
        if data[1:5] != self._sub:
            self._turn_to(data[1:5])
        self._has_messages |= data[0] == pgoutput.MESSAGE
        self._append(_HEAD.pack(data[0], arrival & 0xFFFF_FFFF, 0, len(data) - 4) + data[:1] + data[5:])

    def flush(self) -> None:
        """Keep what has gathered."""
        if self._rows:
            run = Run.of(self._rows, tuple(self._oids))
            head = _HEAD.pack(_ROWS, run.count, len(run.oids), len(run.body))
            self._append(b"".join((head, *run.oids, run.lengths, run.body)))
            self._rows, self._oids, self._rows_bytes = [], {}, 0

    def roll_back(self, sub: bytes) -> None:
        """Forget everything since a subtransaction began: all of that belongs to it.

        A logical message names the whole transaction, whatever subtransaction it is of, so it may be gone or not.
        """
        if self._has_messages:
            self.give_up("a savepoint was rolled back, and logical messages do not say whether they lie behind it")
            return
        begin = self._began.get(sub)
        if begin is None or self.spool is None:
            return
        while self._began and next(reversed(self._began.values())) >= begin:
            self._began.popitem()
        self._sub = b""
        try:
            self.spool.truncate(begin)
            self.size = begin + NOTE_BYTES * len(self._began)
        except OSError as error:
            self.give_up(_failed(error))

    def give_up(self, reason: str) -> None:
        """Keep nothing of it any more."""
        if self.spool is not None:
            self.spool.close()
            self.reason = reason
        self.spool, self.size = None, 0
        self._began.clear()

    def _turn_to(self, sub: bytes) -> None:
        self.flush()
        self._sub = sub
        if sub not in self._began and self.spool is not None:
            self._began[sub] = self.size - NOTE_BYTES * len(self._began)
            self.size += NOTE_BYTES

    def _append(self, piece: bytes) -> None:
        if self.spool is not None:
            try:
                self.spool.append(piece)
                self.size += len(piece)
            except OSError as error:
                self.give_up(_failed(error))


class Streams:
    """Feed it messages as they come; like the assembler, but for transactions of which some come while they run.

    Each is kept in a spool that `open_spool` makes; all together may hold `limit_bytes`. What does not fit is dropped,
    and when it commits after all, `NotKept` is raised. `close` it when the connection ends: all comes again.
    """

    def __init__(self, assembler: Assembler, open_spool: Callable[[], Spool], *, limit_bytes: int) -> None:
        self._assembler = assembler
        self._open_spool = open_spool
        self._limit_bytes = limit_bytes
        self._running: dict[int, _Running] = {}
        self._block: _Running | None = None
        self._arrivals = 0
        self._described: dict[int, int] = {}
        """When each relation was described last, as far as what was committed goes."""

    def define(self, relation: Relation) -> None:
        """Read rows of `relation` in this shape from here on."""
        self._assembler.define(relation)

    def close(self) -> None:
        """Forget what has not committed."""
        for running in self._running.values():
            running.give_up("it has ended")
        self._running.clear()
        self._block = None

    def read(self, items: Iterable[bytes | Keepalive]) -> Iterator[Transaction | pgoutput.RelationMessage | Keepalive]:
        """Take the next items of the stream: transactions, relations to define, and keepalives come out."""
        rest = iter(items)
        if self._block is not None:
            self._take_block(self._block, rest)
        for item in self._assembler.read(rest):
            if isinstance(item, bytes):
                yield from self._control(item, rest)
                continue
            if isinstance(item, pgoutput.RelationMessage):
                self._arrivals += 1
                self._described[item.oid] = self._arrivals
            yield item

    def _control(
        self, message: bytes, rest: Iterator[bytes | Keepalive]
    ) -> Iterator[Transaction | pgoutput.RelationMessage]:
        if message[0] == pgoutput.STREAM_START:
            xid = pgoutput.parse_stream_start(message)
            running = self._running.get(xid)
            if running is None:
                running = self._running[xid] = _Running(self._open_spool)
            self._block = running
            self._take_block(running, rest)
        elif message[0] == pgoutput.STREAM_ABORT:
            self._abort(pgoutput.parse_stream_abort(message))
        elif message[0] == pgoutput.STREAM_COMMIT:
            yield from self._commit(pgoutput.parse_stream_commit(message))
        else:
            raise DecodeError("reading the log: a block ends that never began")

    def _abort(self, abort: pgoutput.StreamAbort) -> None:
        running = self._running.get(abort.xid)
        if running is None:
            return  # Postgres noticed before it had sent anything
        if abort.sub_xid != abort.xid:
            running.roll_back(abort.sub_xid.to_bytes(4, "big"))
        else:
            self._running.pop(abort.xid).give_up("it was rolled back")

    # --- while they run ----------------------------------------------------------------------------------------

    def _take_block(self, running: _Running, rest: Iterator[bytes | Keepalive]) -> None:
        """Keep what comes up to the end of the block; that may lie beyond these items."""
        while (message := running.take_rows(rest)) is not None:
            kind = message[0]
            if kind == pgoutput.STREAM_STOP:
                self._block = None
                break
            if kind in {pgoutput.RELATION, pgoutput.TRUNCATE, pgoutput.MESSAGE}:
                self._arrivals += 1
                running.take_other(message, self._arrivals)
            elif kind not in {pgoutput.TYPE, pgoutput.ORIGIN}:
                raise DecodeError(f"reading the log: unknown message {message[:1]!r} within a block")
        if sum(each.size for each in self._running.values()) > self._limit_bytes:
            max(self._running.values(), key=lambda each: each.size).give_up("it is too large")

    # --- when they commit --------------------------------------------------------------------------------------

    def _commit(self, commit: pgoutput.StreamCommit) -> Iterator[Transaction | pgoutput.RelationMessage]:
        running = self._running.get(commit.xid)
        if running is None:
            raise DecodeError("reading the log: the end of a transaction that never began")
        if running.spool is None:
            raise NotKept(commit.commit_lsn, running.reason)
        try:
            yield from self._hand_on(commit, running.spool)
        except OSError as error:  # some may have been handed on, which is not repeated
            raise NotKept(commit.commit_lsn, _failed(error)) from None
        self._running.pop(commit.xid).give_up("it has been handed on")

    def _hand_on(self, commit: pgoutput.StreamCommit, spool: Spool) -> Iterator[Transaction | pgoutput.RelationMessage]:
        newer: dict[int, RowDecoder] = {}
        spool.rewind()
        self._assembler.feed(commit.begin)
        for piece in _gather(_pieces(spool)):
            if isinstance(piece, Run):
                yield from self._assembler.take(piece)
                continue
            arrival, message = piece
            if message[0] == pgoutput.RELATION:
                self._describe(pgoutput.parse_relation(message).oid, arrival, newer)
            for item in self._assembler.read((message,)):
                if isinstance(item, Transaction | pgoutput.RelationMessage):
                    yield item
        if (last := self._assembler.feed(commit.commit)) is not None:
            yield last
        for shape in newer.values():
            self._assembler.define(shape.relation)

    def _describe(self, oid: int, arrival: int, newer: dict[int, RowDecoder]) -> None:
        """Note what counts for transactions that come after this one: whatever was described last."""
        if self._described.get(oid, 0) <= arrival:
            self._described[oid] = arrival
            newer.pop(oid, None)
        elif (shape := self._assembler.shape_of(oid)) is not None:
            newer.setdefault(oid, shape)


def _failed(error: OSError) -> str:
    return f"its temporary file failed: {error.strerror}"


def _pieces(spool: Spool) -> Iterator[Run | tuple[int, bytes]]:
    """Read back what was kept: runs of rows, and other messages with the number of their arrival."""
    while head := spool.read(_HEAD.size):
        kind, count, relations, size = _HEAD.unpack(head)
        if kind != _ROWS:
            yield count, spool.read(size)
            continue
        oids = spool.read(4 * relations)
        lengths = spool.read(4 * count)
        yield Run(count, tuple(oids[at : at + 4] for at in range(0, len(oids), 4)), lengths, spool.read(size))


def _gather(pieces: Iterable[Run | tuple[int, bytes]]) -> Iterator[Run | tuple[int, bytes]]:
    """Make one run of several short ones: each savepoint begins another."""
    short: list[Run] = []
    rows = size = 0
    for piece in pieces:
        if short and (
            not isinstance(piece, Run) or rows + piece.count > RUN_EVENTS or size + len(piece.body) > RUN_BYTES
        ):
            yield _joined(short)
            short, rows, size = [], 0, 0
        if isinstance(piece, Run):
            short.append(piece)
            rows, size = rows + piece.count, size + len(piece.body)
        else:
            yield piece
    if short:
        yield _joined(short)


def _joined(runs: list[Run]) -> Run:
    if len(runs) == 1:
        return runs[0]
    oids = dict.fromkeys(oid for run in runs for oid in run.oids)
    lengths, body = b"".join(run.lengths for run in runs), b"".join(run.body for run in runs)
    return Run(sum(run.count for run in runs), tuple(oids), lengths, body)
