"""Counts what each reader is told of one large transaction, to find those who should hear the rest from the past."""

from collections.abc import Hashable
from typing import Final

BULK_CHANGES: Final = 1000
"""Some 40 ms of delivering to one reader: everybody else waits for so long at most."""


class Bulk:
    """Ask before each change of a transaction beyond the first `most`; those before are never too much."""

    __slots__ = ("_lsn", "_told", "most")

    def __init__(self, most: int = BULK_CHANGES) -> None:
        self.most = most
        self._lsn = 0
        self._told: dict[Hashable, tuple[int, int]] = {}

    def is_too_much(self, reader: Hashable, lsn: int, index: int) -> bool:
        """Count a change for a reader, or say that it has been told enough; told twice of one change counts once."""
        if lsn != self._lsn:
            self._lsn = lsn
            self._told.clear()
        last, count = self._told.get(reader, (-1, 0))
        if index == last:
            return False
        if count >= self.most:
            return True
        self._told[reader] = (index, count + 1)
        return False
