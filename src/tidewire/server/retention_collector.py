"""Turns how much of the log is kept into Prometheus metrics at the moment they are asked for. Keeps none."""

from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidewire.wal.retention import Retained


class RetentionCollector(Collector):
    """What cannot be known, such as on a node that waits for its turn, has no sample."""

    def __init__(self, retained: Callable[[], Retained | None], headroom_bytes: Callable[[], int | None]) -> None:
        self._retained = retained
        self._headroom_bytes = headroom_bytes

    def collect(self) -> Iterable[Metric]:
        size = GaugeMetricFamily("tidewire_retained_bytes", "Log that is kept for clients who come back.")
        age = GaugeMetricFamily("tidewire_retained_seconds", "Since when that log is kept.")
        room = GaugeMetricFamily("tidewire_log_headroom_bytes", "Log until Postgres gives up the slot; none: no limit.")
        if (retained := self._retained()) is not None:
            size.add_metric([], retained.size_bytes)
            age.add_metric([], retained.age_s)
        if (headroom_bytes := self._headroom_bytes()) is not None:
            room.add_metric([], headroom_bytes)
        yield from (size, age, room)
