"""Counts what an address may still do. Bounded: forgets whoever did nothing the longest; has no clock."""

from collections import OrderedDict
from typing import Final

from msgspec import Struct

MOST_KEYS: Final = 50_000
"""About 10 MB. Whoever uses more addresses than this within the time of a bucket is a case for a firewall."""


class Allowance(Struct, frozen=True):
    """`burst` at once, and as many again in each `period_s`, spread evenly."""

    burst: int
    period_s: float


class Rates:
    """Call `take` before the work; a positive answer is the time in seconds after which to come back."""

    def __init__(self, allowance: Allowance, *, most_keys: int = MOST_KEYS) -> None:
        self._pause_s = allowance.period_s / allowance.burst
        self._period_s = allowance.period_s
        self._most_keys = most_keys
        self._full_at_s: OrderedDict[str, float] = OrderedDict()
        """When the bucket of a key will be full again; a bucket that is full needs no entry."""

    def take(self, key: str, now_s: float) -> float:
        """Take one from the key's bucket, or say how long until there is one; then nothing is taken."""
        if wait_s := self.wait_s(key, now_s):
            return wait_s
        self._full_at_s[key] = max(self._full_at_s.get(key, now_s), now_s) + self._pause_s
        self._full_at_s.move_to_end(key)
        while len(self._full_at_s) > self._most_keys:
            self._full_at_s.popitem(last=False)
        return 0.0

    def wait_s(self, key: str, now_s: float) -> float:
        """Say how long until there is one in the key's bucket, and take nothing."""
        missing_s = self._full_at_s.get(key, now_s) + self._pause_s - now_s - self._period_s
        return missing_s if missing_s > 1e-6 else 0.0  # less is the arithmetic of floats
