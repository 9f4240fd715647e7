"""Counts the changes of each table as they come by, and says how fast they came in the last minute or so."""

from collections.abc import Callable
from typing import Final

from tidewire.model.change import Change, Resync, Transaction

WINDOW_S: Final = 30.0
MOST_TABLES: Final = 10_000


class TableRates:
    """Let it `observe` everything. Rates are averages over the last 30 to 60 seconds, or less after the start."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take a time that never goes back from `clock`."""
        self._clock = clock
        self._now: dict[int, int] = {}
        self._before: dict[int, int] = {}
        self._turned_s = self._began_s = clock()

    def observe(self, item: Transaction | Resync) -> None:
        """Count the changes of one transaction."""
        if isinstance(item, Resync):
            return
        self._turn()
        if item.shapes is not None and len(item.shapes) == 1:  # of a large transaction: nobody need look at each
            self._count(item.shapes[0].relation.oid, len(item.events))
            return
        for event in item.events:
            if isinstance(event, Change):
                self._count(event.shape.relation.oid, 1)

    def per_s(self, oid: int) -> float:
        """Return how many changes of a table there were in a second."""
        self._turn()
        elapsed_s = max(self._clock() - self._began_s, 1.0)
        return round((self._now.get(oid, 0) + self._before.get(oid, 0)) / elapsed_s, 2)

    def _count(self, oid: int, changes: int) -> None:
        counts = self._now
        if oid in counts or len(counts) < MOST_TABLES:
            counts[oid] = counts.get(oid, 0) + changes

    def _turn(self) -> None:
        now_s = self._clock()
        if now_s - self._turned_s < WINDOW_S:
            return
        is_recent = now_s - self._turned_s < 2 * WINDOW_S
        self._before = self._now if is_recent else {}
        self._began_s = self._turned_s if is_recent else now_s - WINDOW_S
        self._now, self._turned_s = {}, now_s
