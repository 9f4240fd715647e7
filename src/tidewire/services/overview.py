"""Turns figures of two moments into what an overview shows: how much there is, how fast it flows, what it took.

Takes no figures by itself and keeps no more than the last hour.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from tidewire.hub.node import Figures
from tidewire.model.latency import between, quantile

HOUR_POINTS: Final = 360
POINT_S: Final = 10.0
"""So far apart are the points of the last hour."""


class Stand(Struct, frozen=True, kw_only=True):
    """All figures of one moment. What cannot be known, such as on a node that waits for its turn, is None."""

    at: float
    """Unix time."""
    node: Figures
    source: str
    """How the database is followed."""
    lag_bytes: int | None
    retained_bytes: int | None
    headroom_bytes: int | None
    memory_bytes: int
    errors: Mapping[str, int]


class Latency(Struct, frozen=True):
    """How long it took from commit to socket, in milliseconds; None where nothing was delivered."""

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class Point(Struct, frozen=True):
    """What is drawn of the last hour, each an average or the state at the end of ten seconds."""

    at: float
    connections: int
    channels: int
    changes_per_s: float
    deliveries_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    memory_bytes: int
    retained_bytes: int | None


class Overview(Struct, frozen=True):
    """One second of the server."""

    at: float
    source: str
    live: bool
    connections: int
    channels: int
    topics: int
    subscriptions: int
    presences: int
    changes_per_s: float
    deliveries_per_s: float
    broadcasts_per_s: float
    latency: Latency
    latencies: tuple[int, ...]
    """Of the last ten seconds, by the bounds that the greeting names."""
    last_commit_at: float
    lag_bytes: int | None
    retained_bytes: int | None
    headroom_bytes: int | None
    memory_bytes: int
    errors: Mapping[str, int]
    refused: Mapping[str, int]
    """What was refused or ended, since the server started."""


_FLOWS: Final = frozenset(
    {
        "broadcasts",
        "broadcasts_kept",
        "change_deliveries",
        "changes",
        "connections",
        "deliveries",
        "presence_diffs",
    }
)
"""Counts that are no sign of anything unusual."""


def latency_of(counts: Sequence[int]) -> Latency:
    """Return the quantiles of some counts."""
    return Latency(*(_ms(quantile(counts, share)) for share in (0.5, 0.95, 0.99)))


def overview_of(earlier: Stand, later: Stand, window: Stand) -> Overview:
    """Return what is new since `earlier`; latencies are those since `window`."""
    node = later.node
    counts = between(window.node.latencies, node.latencies)
    return Overview(
        at=later.at,
        source=later.source,
        live=node.live,
        connections=node.connections,
        channels=node.channels,
        topics=node.topics,
        subscriptions=node.subscriptions,
        presences=node.presences,
        changes_per_s=rate(earlier, later, "changes"),
        deliveries_per_s=rate(earlier, later, "deliveries", "change_deliveries"),
        broadcasts_per_s=rate(earlier, later, "broadcasts"),
        latency=latency_of(counts),
        latencies=counts,
        last_commit_at=node.last_commit_s,
        lag_bytes=later.lag_bytes,
        retained_bytes=later.retained_bytes,
        headroom_bytes=later.headroom_bytes,
        memory_bytes=later.memory_bytes,
        errors=later.errors,
        refused={name: number for name, number in sorted(node.counts.items()) if name not in _FLOWS},
    )


def point_of(earlier: Stand, later: Stand) -> Point:
    """Return a point of the last hour."""
    latency = latency_of(between(earlier.node.latencies, later.node.latencies))
    return Point(
        later.at,
        later.node.connections,
        later.node.channels,
        rate(earlier, later, "changes"),
        rate(earlier, later, "deliveries", "change_deliveries"),
        latency.p50_ms,
        latency.p99_ms,
        later.memory_bytes,
        later.retained_bytes,
    )


def rate(earlier: Stand, later: Stand, *names: str) -> float:
    """Return how fast some counts grew, per second, all together."""
    elapsed_s = max(later.at - earlier.at, 0.001)
    grown = sum(later.node.counts.get(name, 0) - earlier.node.counts.get(name, 0) for name in names)
    return round(max(grown, 0) / elapsed_s, 2)


class LastHour:
    """Give it a stand now and then; it makes a point of those that are far enough apart."""

    def __init__(self) -> None:
        self.points: deque[Point] = deque(maxlen=HOUR_POINTS)
        self._last: Stand | None = None

    def add(self, stand: Stand) -> None:
        """Take note of a moment."""
        if self._last is not None:
            self.points.append(point_of(self._last, stand))
        self._last = stand


def _ms(time_s: float | None) -> float | None:
    return None if time_s is None else round(time_s * 1000, 3)
