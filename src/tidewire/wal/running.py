"""Keeps what one running transaction sends, in pieces, and forgets what is rolled back of it. Hands nothing on."""

from collections.abc import Callable, Iterator
from typing import Final

from tidewire.wal import pgoutput
from tidewire.wal.packed import OPERATIONS, Run
from tidewire.wal.pieces import RUN_BYTES, RUN_EVENTS, Spool, message_piece, rows_piece
from tidewire.wal.protocol import Keepalive

NOTE_BYTES: Final = 256
"""What it costs to remember where a subtransaction began; counted as well, as there may be as many of them as rows."""


class Running:
    """What one running transaction has sent."""

    __slots__ = ("_began", "_has_messages", "_oids", "_rows", "_rows_bytes", "_sub", "reason", "size", "spool")

    def __init__(self, open_spool: Callable[[], Spool]) -> None:
        self.spool: Spool | None = None
        """None when it is not kept, and then `reason` says why."""
        self.reason = ""
        try:
            self.spool = open_spool()
        except OSError as error:
            self.reason = failure_of(error)
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
        self._append(message_piece(data[:1] + data[5:], arrival))

    def flush(self) -> None:
        """Keep what has gathered."""
        if self._rows:
            self._append(rows_piece(Run.of(self._rows, tuple(self._oids))))
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
            self.give_up(failure_of(error))

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
                self.give_up(failure_of(error))


def failure_of(error: OSError) -> str:
    """Say why a transaction is not kept whose spool raised this."""
    return f"its temporary file failed: {error.strerror}"
