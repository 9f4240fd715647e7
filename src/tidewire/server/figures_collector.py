"""Turns a node's figures into Prometheus metrics at the moment they are asked for. Keeps none."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidewire.hub.node import Figures, Node

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

GAUGES: Final = {
    "connections": "Clients that are connected.",
    "channels": "Topics joined, over all clients.",
    "topics": "Topics that somebody has joined.",
    "subscriptions": "Row changes that are followed.",
    "presences": "Entries in presence, over all topics.",
}
COUNTERS: Final = {
    "connections": ("connections_opened", "Clients that have connected."),
    "connections_slow": ("connections_slow", "Clients sent away because they read too slowly."),
    "broadcasts_dropped": ("broadcasts_dropped", "Broadcasts that clients lost because they read too slowly."),
    "broadcasts": ("broadcasts", "Broadcasts taken in, from clients and over HTTP."),
    "deliveries": ("broadcast_deliveries", "Broadcasts handed to clients."),
    "broadcasts_kept": ("broadcasts_kept", "Broadcasts of clients that were stored for later readers."),
    "changes": ("changes", "Row changes that came from the log."),
    "change_deliveries": ("change_deliveries", "Row changes handed to clients."),
    "presence_diffs": ("presence_diffs", "Changes of presence that were told."),
}
"""Counts that have a metric of their own, shown from the start; all others are events, named by a label."""


class FiguresCollector(Collector):
    """Register it once per node. `transports` says how many clients come by others than WebSocket."""

    def __init__(self, node: Node, transports: Callable[[], Mapping[str, int]]) -> None:
        self._node = node
        self._transports = transports

    def collect(self) -> Iterable[Metric]:
        figures = self._node.figures()
        for name, words in GAUGES.items():
            yield GaugeMetricFamily(f"tidewire_{name}", words, getattr(figures, name))
        yield _by_transport(figures.connections, self._transports())
        yield GaugeMetricFamily("tidewire_live", "1 while every change that commits will be delivered.", figures.live)
        yield GaugeMetricFamily("tidewire_draining", "1 while clients are being sent away.", figures.draining)
        yield GaugeMetricFamily(
            "tidewire_tasks", "Tasks of the event loop; clients that are quiet have none.", len(asyncio.all_tasks())
        )
        yield GaugeMetricFamily(
            "tidewire_last_commit_timestamp_seconds", "When the last change was committed.", figures.last_commit_s
        )
        yield GaugeMetricFamily(
            "tidewire_change_lag_seconds", "From its commit until the last change was handed to clients.", figures.lag_s
        )
        yield from _counters(figures)


def metrics_text(registry: CollectorRegistry) -> bytes:
    """Write all metrics in the text format that collectors read."""
    return generate_latest(registry)


def _by_transport(connections: int, others: Mapping[str, int]) -> Metric:
    metric = GaugeMetricFamily("tidewire_transport_connections", "Clients by how they come.", labels=["transport"])
    for transport, count in {"websocket": connections - sum(others.values()), **others}.items():
        metric.add_metric([transport], count)
    return metric


def _counters(figures: Figures) -> Iterable[Metric]:
    for count, (name, words) in COUNTERS.items():
        yield CounterMetricFamily(f"tidewire_{name}", words, figures.counts.get(count, 0))
    events = CounterMetricFamily("tidewire_events", "What ended or was refused, by what it was.", labels=["event"])
    for name in sorted(figures.counts.keys() - COUNTERS.keys()):
        events.add_metric([name], figures.counts[name])
    yield events
