"""Decides how much of the log Postgres keeps for readers who come back: a window of age and bytes. Pure.

Time is the server's, as the log and its keepalives tell it, so the clock of this machine does not matter.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tidewire.model.position import Lsn

GRAINS: Final = 256
"""So many grains of age, and as many of bytes, make the window: within one grain, transactions leave together."""


class Window(Struct, frozen=True, kw_only=True):
    """How much of the past is wished for."""

    age_s: float
    limit_bytes: int

    def within(self, keep_bytes: int) -> "Window":
        """Return the window for a server that gives slots up which need more than `keep_bytes`; negative is no limit.

        Half of that is left for what the slot needs besides: transactions that are open, and the next checkpoint.
        """
        if keep_bytes < 0:
            return self
        return Window(age_s=self.age_s, limit_bytes=min(self.limit_bytes, keep_bytes // 2))


class Retained(Struct, frozen=True):
    """How much of the log is kept on purpose, and since when."""

    size_bytes: int
    age_s: float


class _Stretch:
    """Transactions that leave the window together: the first, and those that end less than a grain behind it.

    The first may be of any size, and so may be what others wrote to the log in front of it.
    """

    __slots__ = ("end", "first", "first_us")

    def __init__(self, end: Lsn, at_us: int) -> None:
        self.first = self.end = end
        self.first_us = at_us


class Retention:
    """Tell it what is handed out and how far the log is; everything up to `released` may be confirmed.

    A reader's position stays good for `age_s` after the next transaction has come, however long ago its own was: so a
    stretch goes when the one behind it is too old. What is kept although it could go is therefore of one stretch. When
    the bytes are too many the oldest goes, whatever its age.
    """

    def __init__(self, start: Lsn, window: Window) -> None:
        self.released = start
        """Only ever grows."""
        self._limit_bytes = window.limit_bytes
        self._age_us = int(window.age_s * 1_000_000)
        self._newest = start
        self._now_us = 0
        self._stretches: deque[_Stretch] = deque()

    def __len__(self) -> int:
        return len(self._stretches)

    @property
    def retained(self) -> Retained:
        """Say what is kept now."""
        since_us = self._stretches[0].first_us if self._stretches else self._now_us
        return Retained(self._newest - self.released, max(self._now_us - since_us, 0) / 1_000_000)

    def hold(self, end_lsn: Lsn, at_us: int) -> None:
        """Keep a transaction that was handed out, which was committed at `at_us`."""
        self._add(end_lsn, at_us)
        self.passed(end_lsn, at_us)

    def remember(self, places: Sequence[tuple[Lsn, int]]) -> None:
        """Take note, later, since when places are kept that lie before all that was held: the oldest first."""
        held, self._stretches = self._stretches, deque()
        for end_lsn, at_us in places:
            if self.released < end_lsn and (not held or end_lsn < held[0].first):
                self._add(end_lsn, at_us)
        self._stretches += held
        self.passed(self._newest, self._now_us)

    def passed(self, lsn: Lsn, at_us: int) -> None:
        """Take note that the log has come this far, and that this was said at `at_us`; all before was handed out."""
        self._newest = max(self._newest, lsn)
        self._now_us = at_us
        stretches, too_old_us = self._stretches, at_us - self._age_us
        while len(stretches) > 1 and stretches[1].first_us <= too_old_us:
            self.released = stretches.popleft().end
        while self._newest - self.released > self._limit_bytes:
            # Without a transaction it is traffic that nobody follows.
            self.released = stretches.popleft().end if stretches else self._newest

    def _add(self, end_lsn: Lsn, at_us: int) -> None:
        last = self._stretches[-1] if self._stretches else None
        if last is None or self._is_long(last, end_lsn, at_us):
            self._stretches.append(_Stretch(end_lsn, at_us))
        else:
            last.end = end_lsn

    def _is_long(self, stretch: _Stretch, end_lsn: Lsn, at_us: int) -> bool:
        return (end_lsn - stretch.first) * GRAINS >= self._limit_bytes or (
            at_us - stretch.first_us
        ) * GRAINS >= self._age_us
