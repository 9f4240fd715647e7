"""Counts what an address or an account may still do. Bounded: forgets whoever did nothing the longest; has no clock."""

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


class _Failures(Struct):
    count: int
    last_s: float


class Lockout:
    """Failed sign-ins. After `free` of them, each doubles the time in which no further one is looked at."""

    def __init__(
        self, *, free: int = 5, first_s: float = 5.0, longest_s: float = 900.0, most_keys: int = MOST_KEYS
    ) -> None:
        self._free = free
        self._first_s = first_s
        self._longest_s = longest_s
        self._most_keys = most_keys
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def wait_s(self, key: str, now_s: float) -> float:
        """Say how long the account is locked; 0 when it is not."""
        known = self._failures.get(key)
        if known is None or known.count < self._free:
            return 0.0
        locked_s = min(self._longest_s, self._first_s * 2.0 ** min(known.count - self._free, 20))
        return max(0.0, known.last_s + locked_s - now_s)

    def fail(self, key: str, now_s: float) -> None:
        """Count a failure; call it before the password is checked, so that parallel attempts count as well."""
        known = self._failures.pop(key, None)
        forgiven = known is None or now_s - known.last_s > 2 * self._longest_s
        self._failures[key] = _Failures(1 if known is None or forgiven else known.count + 1, now_s)
        while len(self._failures) > self._most_keys:
            self._failures.popitem(last=False)

    def succeed(self, key: str) -> None:
        """Forget the failures of the account."""
        self._failures.pop(key, None)
