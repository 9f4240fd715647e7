"""Counts what has been heard of one node: every change carries a number, and numbers may come late, twice or never.

No clock on a wall is involved: order is the order in which the node itself made its changes.
"""

from bisect import bisect_left, bisect_right

from msgspec import Struct


class Version(Struct, frozen=True, order=True):
    """How far one node has come. A greater `life` supersedes everything of the lesser ones, whatever they counted."""

    life: int
    count: int


class Seen:
    """The numbers heard of one life of one node, as ranges: normally one, more while something is missing."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def __len__(self) -> int:
        """Return the number of ranges: what remembering costs."""
        return len(self._firsts)

    def __repr__(self) -> str:
        return f"Seen({list(zip(self._firsts, self._lasts, strict=True))})"

    @property
    def complete(self) -> int:
        """The greatest number up to which nothing is missing; 0 when even the first is."""
        return self._lasts[0] if self._firsts and self._firsts[0] == 1 else 0

    def add(self, first: int, last: int) -> None:
        """Remember first..last; an empty range is nothing. Ranges that touch become one."""
        if first > last:
            return
        low = bisect_left(self._lasts, first - 1)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]
