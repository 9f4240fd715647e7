"""The load generator as a listener: it publishes nothing and counts what a server sends of its own accord."""

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import Struct

from tidewire.bench.generator import Generator
from tidewire.model.errors import BenchmarkFailed

LIMIT_S = 120.0
"""How long everything may take to arrive."""

_AT_NOTHING, _AT_STAMPS, _AT_MARKS = range(3)
_64_BITS = (1 << 64) - 1


class Share(Struct, frozen=True, array_like=True):
    """What one subscriber receives: so many messages, and the digest of their marks."""

    messages: int
    digest: int


class Arrivals(Struct, frozen=True):
    """What has arrived. `least` and `most` are of single connections; ages are of messages that bear a stamp."""

    messages: int
    least: int
    most: int
    lost: int
    """Connections that the server has closed."""
    last_unix_ns: int
    """When the last of them came."""
    stamps: int
    p50_ms: float
    p99_ms: float
    cpu_s: float
    """What the generator itself needed."""
    shares: list[Share]
    """Of each subscriber, where marks were looked at."""


class Listener(Generator):
    """A generator whose subscribers wait for what others cause."""

    def count(self, cause: Callable[[], None], *, each: int, stamped: bool = False) -> tuple[Arrivals, float]:
        """Count while `cause` runs, and until each subscriber has so many messages; return the seconds from its start.

        Raises BenchmarkFailed when a single one is missing or too many.
        """
        expected = each * self.subscribers
        arrivals, seconds = self._listen(cause, expected, _AT_STAMPS if stamped else _AT_NOTHING)
        if (arrivals.least, arrivals.most, arrivals.lost) != (each, each, 0):
            raise BenchmarkFailed(
                f"counting deliveries: expected {expected}, {each} for each subscriber, got {arrivals.messages},"
                f" {arrivals.least} to {arrivals.most} for each; the server closed {arrivals.lost} connections"
            )
        if stamped and arrivals.stamps != expected:
            raise BenchmarkFailed(f"reading stamps: expected {expected}, got {arrivals.stamps}")
        return arrivals, seconds

    def tell_apart(self, cause: Callable[[], None], shares: Sequence[Share]) -> tuple[Arrivals, float]:
        """Do as `count`, but each subscriber has a share of its own, and it must be the very messages of that share."""
        expected = sum(share.messages for share in shares)
        arrivals, seconds = self._listen(cause, expected, _AT_MARKS)
        if arrivals.lost:
            raise BenchmarkFailed(f"checking deliveries: the server closed {arrivals.lost} connections")
        for number, (due, got) in enumerate(zip(shares, arrivals.shares, strict=True)):
            if due != got:
                which = "others" if due.messages == got.messages else f"{got.messages}"
                raise BenchmarkFailed(
                    f"checking deliveries: expected {due.messages} of its rows for subscriber {number}, got {which};"
                    f" {expected} expected for all, got {arrivals.messages}"
                )
        return arrivals, seconds

    def _listen(self, cause: Callable[[], None], expected: int, look: int) -> tuple[Arrivals, float]:
        self._order("listen")
        self._say(f"count {expected} {look} {LIMIT_S}")
        started_ns = time.time_ns()
        cause()
        arrivals = msgspec.json.decode(self._answer(), type=Arrivals)
        return arrivals, (arrivals.last_unix_ns - started_ns) / 1e9


def digest(marks: Iterable[int]) -> int:
    """Add up what no two marks have in common, in any order: the last step of splitmix64, as in native/arrivals.c."""
    total = 0
    for mark in marks:
        mixed = (mark + 0x9E3779B97F4A7C15) & _64_BITS
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _64_BITS
        total += mixed ^ mixed >> 31
    return total & _64_BITS
