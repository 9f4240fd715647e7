"""Sorts out what running transactions send in blocks, and hands it on at their commit as if all had come then.

What is handed on is what `Assembler` makes of it, under the same places as if nothing had come before the commit. Where
blocks lie is the caller's: this decides which of them belong together, and when there is too much.
"""

from collections.abc import Callable, Iterable, Iterator

from tidewire.model.change import Transaction
from tidewire.model.errors import DecodeError
from tidewire.model.position import Lsn
from tidewire.model.relation import Relation
from tidewire.wal import pgoutput
from tidewire.wal.assembler import Assembler
from tidewire.wal.packed import Run
from tidewire.wal.pieces import Spool, read_pieces
from tidewire.wal.protocol import Keepalive
from tidewire.wal.row_decoder import RowDecoder
from tidewire.wal.running import Running, failure_of


class NotKept(Exception):  # noqa: N818 - no error: an answer that the caller must act on
    """The transaction that commits at `commit_lsn` cannot be put together here: read it once more, in one piece."""

    def __init__(self, commit_lsn: Lsn, reason: str) -> None:
        super().__init__(commit_lsn, reason)
        self.commit_lsn = commit_lsn
        self.reason = reason


class Streams:
    """Feed it messages as they come; like the assembler, but for transactions of which some come while they run.

    Each is kept in a spool that `open_spool` makes; all together may hold `limit_bytes`. What does not fit is dropped,
    and when it commits after all, `NotKept` is raised. `close` it when the connection ends: all comes again.
    """

    def __init__(self, assembler: Assembler, open_spool: Callable[[], Spool], *, limit_bytes: int) -> None:
        self._assembler = assembler
        self._open_spool = open_spool
        self._limit_bytes = limit_bytes
        self._running: dict[int, Running] = {}
        self._block: Running | None = None
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
                running = self._running[xid] = Running(self._open_spool)
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

    def _take_block(self, running: Running, rest: Iterator[bytes | Keepalive]) -> None:
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
            raise NotKept(commit.commit_lsn, failure_of(error)) from None
        self._running.pop(commit.xid).give_up("it has been handed on")

    def _hand_on(self, commit: pgoutput.StreamCommit, spool: Spool) -> Iterator[Transaction | pgoutput.RelationMessage]:
        newer: dict[int, RowDecoder] = {}
        pieces = read_pieces(spool)
        self._assembler.feed(commit.begin)
        for piece in pieces:
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
