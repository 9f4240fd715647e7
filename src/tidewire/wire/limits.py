"""How much is too much: three small counters that take the time as a parameter. They answer; the caller acts.

Each needs constant time and memory whatever happens. Time that goes back counts as time that stands still.
"""

from array import array
from math import inf


class TokenBucket:
    """At most `burst` at once and `rate_per_s` in the long run: burst + rate·t in any stretch of t seconds."""

    __slots__ = ("_burst", "_now", "_rate_per_s", "_tokens")

    def __init__(self, *, rate_per_s: float, burst: float, now: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._now = now

    def take(self, now: float, n: float = 1) -> bool:
        """Take n tokens and return True, or take none and return False: refuse what they were for."""
        if now > self._now:
            self._tokens = min(self._burst, self._tokens + (now - self._now) * self._rate_per_s)
            self._now = now
        if n > self._tokens:
            return False
        self._tokens -= n
        return True


class WindowRate:
    """Average over the last minute, counted in buckets of five seconds, so that a short burst passes."""

    __slots__ = ("_at", "_bucket_s", "_counts", "_ends", "_limit", "_total")

    def __init__(self, *, limit_per_s: float, window_s: float = 60.0, buckets: int = 12) -> None:
        self._limit = limit_per_s * window_s
        self._bucket_s = window_s / buckets
        self._counts = array("Q", bytes(8 * buckets))
        self._total = 0
        self._at = 0
        self._ends = -inf

    def add(self, now: float, n: int = 1) -> bool:
        """Count n events and return whether the average has now reached the limit: close the channel if so."""
        self._advance(now)
        self._counts[self._at % len(self._counts)] += n
        self._total += n
        return self._total >= self._limit

    def tripped(self, now: float) -> bool:
        """Return whether the average is at the limit or above, counting nothing."""
        self._advance(now)
        return self._total >= self._limit

    def _advance(self, now: float) -> None:
        """Empty the buckets that are out of the window by now."""
        if now < self._ends:
            return
        at = int(now // self._bucket_s)
        for step in range(1, min(at - self._at, len(self._counts)) + 1):
            slot = (self._at + step) % len(self._counts)
            self._total -= self._counts[slot]
            self._counts[slot] = 0
        self._at = at
        self._ends = (at + 1) * self._bucket_s


class CallWindow:
    """At most `calls` per window, where a window opens with the first call after the one before has ended."""

    __slots__ = ("_calls", "_made", "_opened", "_window_s")

    def __init__(self, *, calls: int, window_s: float) -> None:
        self._calls = calls
        self._window_s = window_s
        self._opened: float | None = None
        self._made = 0

    def take(self, now: float) -> bool:
        """Count a call and return True, or return False: it is one too many."""
        if self._opened is None or now - self._opened >= self._window_s:
            self._opened = now
            self._made = 0
        if self._made >= self._calls:
            return False
        self._made += 1
        return True
