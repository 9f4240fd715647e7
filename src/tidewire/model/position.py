"""Where a reader stands in the log: (epoch, commit LSN, index in transaction), as one opaque text."""

import re
from typing import NewType

from msgspec import Struct

from tidewire.model.errors import InvalidPosition

Lsn = NewType("Lsn", int)
"""A place in the write-ahead log. A NewType because msgspec refuses subclasses of int."""

MAX_INDEX = 2**32 - 1

_LSN = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}", re.ASCII)
_NUMBER = "(?:0|[1-9a-f][0-9a-f]{0,%d})"
_POSITION = re.compile(rf"[0-9A-Za-z]{{1,64}}\.{_NUMBER % 15}\.{_NUMBER % 7}", re.ASCII)


def parse_lsn(text: str) -> Lsn:
    """Turn Postgres's `16/B374D848` into a number. Raises InvalidPosition."""
    if not _LSN.fullmatch(text):
        raise InvalidPosition(f"reading an LSN: expected X/Y in hexadecimal, got {text[:40]!r}")
    high, low = text.split("/")
    return Lsn((int(high, 16) << 32) | int(low, 16))


def format_lsn(lsn: int) -> str:
    """Write an LSN the way Postgres does."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


class StreamPosition(Struct, frozen=True):
    """Where a client may resume, or must not when the epoch differs. Compare positions only within one epoch."""

    epoch: str
    lsn: Lsn
    index: int

    def follows(self, other: "StreamPosition") -> bool:
        """Tell whether this position is later than `other`; false across epochs, where order has no meaning."""
        return self.epoch == other.epoch and (self.lsn, self.index) > (other.lsn, other.index)

    def __str__(self) -> str:
        return f"{self.epoch}.{self.lsn:x}.{self.index:x}"


def parse_position(text: str) -> StreamPosition:
    """Read what `str(position)` wrote, and nothing else. Raises InvalidPosition; never guesses."""
    if not _POSITION.fullmatch(text):
        raise InvalidPosition(f"reading a position: expected EPOCH.LSN.INDEX, got {text[:40]!r}")
    epoch, lsn, index = text.split(".")
    return StreamPosition(epoch, Lsn(int(lsn, 16)), int(index, 16))
