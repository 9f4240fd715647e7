"""Counts how long things took in steps of a quarter, so that quantiles of any stretch of time are cheap."""

from collections.abc import Sequence
from itertools import accumulate
from math import ceil, log
from typing import Final

LEAST_S: Final = 0.000_1
STEP: Final = 1.25
STEPS: Final = 64
"""The last one begins at about two minutes; what takes longer counts there."""
BOUNDS_S: Final = tuple(LEAST_S * STEP**number for number in range(STEPS))
"""Up to what time each step counts."""


class Latencies:
    """`add` what was measured. `counts` only grow: take the difference of two moments for what came between them."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = [0] * STEPS

    @property
    def counts(self) -> tuple[int, ...]:
        """How many there were in each step so far."""
        return tuple(self._counts)

    def add(self, time_s: float) -> None:
        """Count one time; one that is negative, because clocks differ, counts as none."""
        place = 0 if time_s <= LEAST_S else min(ceil(log(time_s / LEAST_S) / log(STEP)), STEPS - 1)
        self._counts[place] += 1


def between(earlier: Sequence[int], later: Sequence[int]) -> tuple[int, ...]:
    """Return the counts of what came between two moments."""
    return tuple(now - before for before, now in zip(earlier, later, strict=True))


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Return the time that this share of them took no longer than, a quarter too much at most; None without any."""
    total = sum(counts)
    if not total:
        return None
    wanted = max(1, ceil(total * share))
    return next(bound for bound, seen in zip(BOUNDS_S, accumulate(counts), strict=True) if seen >= wanted)
