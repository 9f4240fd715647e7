"""The load generator as a listener: it publishes nothing and counts what a server sends of its own accord."""

import time
from collections.abc import Callable

import msgspec
from msgspec import Struct

from tidewire.bench.generator import Generator
from tidewire.model.errors import BenchmarkFailed

LIMIT_S = 120.0
"""How long everything may take to arrive."""


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


class Listener(Generator):
    """A generator whose subscribers wait for what others cause."""

    def count(self, cause: Callable[[], None], *, each: int, stamped: bool = False) -> tuple[Arrivals, float]:
        """Count while `cause` runs, and until each subscriber has so many messages; return the seconds from its start.

        Raises BenchmarkFailed when a single one is missing or too many.
        """
        self._order("listen")
        expected = each * self.subscribers
        self._say(f"count {expected} {stamped:d} {LIMIT_S}")
        started_ns = time.time_ns()
        cause()
        arrivals = msgspec.json.decode(self._answer(), type=Arrivals)
        if (arrivals.least, arrivals.most, arrivals.lost) != (each, each, 0):
            raise BenchmarkFailed(
                f"counting deliveries: expected {expected}, {each} for each subscriber, got {arrivals.messages},"
                f" {arrivals.least} to {arrivals.most} for each; the server closed {arrivals.lost} connections"
            )
        if stamped and arrivals.stamps != expected:
            raise BenchmarkFailed(f"reading stamps: expected {expected}, got {arrivals.stamps}")
        return arrivals, (arrivals.last_unix_ns - started_ns) / 1e9
