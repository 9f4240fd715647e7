"""Where a reader stands in the log: (epoch, commit LSN, index in transaction), as one opaque text.

Whoever has read a list stands in no single place of the log: their position also says what of the rest they have.
"""

import re
from typing import NewType

from msgspec import Struct

from tidewire.model.errors import InvalidPosition
from tidewire.model.snapshot import Snapshot

Lsn = NewType("Lsn", int)
"""A place in the write-ahead log. A NewType because msgspec refuses subclasses of int."""

MAX_INDEX = 2**32 - 1

_LSN = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}", re.ASCII)
_NUMBER = "(?:0|[1-9a-f][0-9a-f]{0,%d})"
_SEEN = rf"(?:\.{_NUMBER % 15}\.{_NUMBER % 15}(?:-{_NUMBER % 15})*)?"
_POSITION = re.compile(rf"[0-9A-Za-z]{{1,64}}\.{_NUMBER % 15}\.{_NUMBER % 7}{_SEEN}", re.ASCII)
MAX_POSITION_CHARS = 4000
"""What a header may hold: the numbers of several hundred transactions that were running."""


def parse_lsn(text: str) -> Lsn:
    """Turn Postgres's `16/B374D848` into a number. Raises InvalidPosition."""
    if not _LSN.fullmatch(text):
        raise InvalidPosition(f"reading an LSN: expected X/Y in hexadecimal, got {text[:40]!r}")
    high, low = text.split("/")
    return Lsn((int(high, 16) << 32) | int(low, 16))


def format_lsn(lsn: int) -> str:
    """Write an LSN the way Postgres does."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


class Seen(Struct, frozen=True):
    """What somebody has who read a list: of what committed before `until`, all that the snapshot sees."""

    until: Lsn
    snapshot: Snapshot

    def has(self, lsn: int, xid: int) -> bool:
        """Tell whether they have what a transaction did that committed at `lsn`."""
        return lsn < self.until and self.snapshot.sees(xid)

    def __str__(self) -> str:
        end = self.snapshot.end
        running = sorted(end - xid for xid in self.snapshot.running)
        return "-".join([f".{self.until:x}.{end:x}", *(f"{distance:x}" for distance in running)])


class StreamPosition(Struct, frozen=True):
    """Where a client may resume, or must not when the epoch differs. Compare positions only within one epoch."""

    epoch: str
    lsn: Lsn
    index: int
    seen: Seen | None = None
    """What of the log behind this place they have all the same."""

    def follows(self, other: "StreamPosition") -> bool:
        """Tell whether this position is later than `other`; false across epochs, where order has no meaning."""
        return self.epoch == other.epoch and (self.lsn, self.index) > (other.lsn, other.index)

    def __str__(self) -> str:
        return f"{self.epoch}.{self.lsn:x}.{self.index:x}{self.seen or ''}"


def parse_position(text: str) -> StreamPosition:
    """Read what `str(position)` wrote, and nothing else. Raises InvalidPosition; never guesses."""
    if len(text) <= MAX_POSITION_CHARS and _POSITION.fullmatch(text):
        epoch, lsn, index, *seen = text.split(".")
        position = StreamPosition(epoch, Lsn(int(lsn, 16)), int(index, 16), _parse_seen(*seen) if seen else None)
        if str(position) == text:
            return position
    raise InvalidPosition(f"reading a position: expected EPOCH.LSN.INDEX, got {text[:40]!r}")


def _parse_seen(until: str, snapshot: str) -> Seen:
    end, *running = (int(number, 16) for number in snapshot.split("-"))
    return Seen(Lsn(int(until, 16)), Snapshot(end, frozenset(end - distance for distance in running)))
