"""In which form a running transaction is kept: pieces, each a run of rows or one other message. Opens no files."""

from collections.abc import Iterable, Iterator
from struct import Struct as Layout
from typing import Final, Protocol

from tidewire.wal.packed import Run

RUN_EVENTS: Final = 200
RUN_BYTES: Final = 128 * 1024
"""What passes in one piece when a large transaction commits: 0.1 ms, or 2 ms with a reader of each."""

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


def rows_piece(run: Run) -> bytes:
    """Return what is appended to keep a run of rows."""
    head = _HEAD.pack(_ROWS, run.count, len(run.oids), len(run.body))
    return b"".join((head, *run.oids, run.lengths, run.body))


def message_piece(message: bytes, arrival: int) -> bytes:
    """Return what is appended to keep any other message, with the number of its arrival."""
    return _HEAD.pack(message[0], arrival & 0xFFFF_FFFF, 0, len(message)) + message


def read_pieces(spool: Spool) -> Iterator[Run | tuple[int, bytes]]:
    """Read everything back: runs as long as may be, and other messages with the number of their arrival."""
    spool.rewind()
    return _gather(_pieces(spool))


def _pieces(spool: Spool) -> Iterator[Run | tuple[int, bytes]]:
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
