"""Where a reader stands in the log: (epoch, commit LSN, index in transaction), as one opaque text. Compares; never asks a clock."""

from typing import NewType

from msgspec import Struct

from tidewire.model.errors import InvalidPosition

Lsn = NewType("Lsn", int)
"""A place in the write-ahead log. A NewType because msgspec refuses subclasses of int."""

MAX_LSN = 2**64 - 1
MAX_INDEX = 2**32 - 1
MAX_TEXT = 128


def parse_lsn(text: str) -> Lsn:
    """Turn Postgres's `16/B374D848` into a number. Raises InvalidPosition."""
    high, slash, low = text.partition("/")
    try:
        if not slash or not 1 <= len(high) <= 8 or not 1 <= len(low) <= 8:
            raise ValueError(text)
        return Lsn((int(high, 16) << 32) | int(low, 16))
    except ValueError:
        raise InvalidPosition(f"reading an LSN: expected X/Y in hexadecimal, got {text[:40]!r}") from None


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
    """Read what `str(position)` wrote. Raises InvalidPosition; never guesses."""
    parts = text.split(".") if len(text) <= MAX_TEXT else []
    try:
        epoch, lsn, index = parts
        position = StreamPosition(epoch, Lsn(int(lsn, 16)), int(index, 16))
    except ValueError:
        raise InvalidPosition(f"reading a position: expected EPOCH.LSN.INDEX, got {text[:40]!r}") from None
    if (
        not epoch.isalnum()
        or not epoch.isascii()
        or position.lsn > MAX_LSN
        or position.index > MAX_INDEX
        or str(position) != text
    ):
        raise InvalidPosition(f"reading a position: expected EPOCH.LSN.INDEX, got {text[:40]!r}")
    return position
