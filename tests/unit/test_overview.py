"""Figures of two moments become flows, tables have rates, and an hour has an end."""

from typing import Any

from tests.support.node import Clock
from tidewire.hub.node import Figures
from tidewire.model.change import Transaction
from tidewire.model.latency import Latencies
from tidewire.model.position import Lsn
from tidewire.model.relation import Relation
from tidewire.services.overview import HOUR_POINTS, LastHour, Stand, overview_of
from tidewire.services.table_rates import WINDOW_S, TableRates
from tidewire.testing.rows import truncated

TABLE = Relation(7, "public", "t", "default", ())


def stand(at: float, latencies: Latencies | None = None, **counts: int) -> Stand:
    empty: dict[str, Any] = dict.fromkeys(("connections", "channels", "topics", "subscriptions", "presences"), 0)
    figures = Figures(
        **empty,
        live=True,
        draining=False,
        last_commit_s=0.0,
        lag_s=0.0,
        latencies=(latencies or Latencies()).counts,
        counts=counts,
    )
    return Stand(
        at=at,
        node=figures,
        source="streaming",
        lag_bytes=None,
        retained_bytes=None,
        headroom_bytes=None,
        memory_bytes=1,
        errors={},
    )


def test_flows_are_what_grew_by_the_time_that_it_took() -> None:
    earlier = stand(100.0, changes=10, deliveries=5, change_deliveries=5)
    later = stand(102.0, changes=30, deliveries=6, change_deliveries=10, limit_joins=3)
    found = overview_of(earlier, later, earlier)
    assert (found.changes_per_s, found.deliveries_per_s, found.broadcasts_per_s) == (10.0, 3.0, 0.0)
    assert found.refused == {"limit_joins": 3}
    assert found.latency.p99_ms is None


def test_latencies_are_those_of_the_window() -> None:
    counted = Latencies()
    counted.add(10.0)
    window = stand(100.0, counted)
    counted.add(0.001)
    found = overview_of(stand(109.0, counted), stand(110.0, counted), window)
    assert found.latency.p50_ms is not None
    assert 1.0 <= found.latency.p50_ms <= 1.25
    assert sum(found.latencies) == 1


def test_two_looks_at_one_moment_are_no_flow() -> None:
    now = stand(100.0, changes=10)
    assert overview_of(now, now, now).changes_per_s == 0.0


def test_an_hour_ends() -> None:
    hour = LastHour()
    for number in range(HOUR_POINTS + 11):
        hour.add(stand(10.0 * number))
    assert len(hour.points) == HOUR_POINTS
    assert hour.points[-1].at == 10.0 * (HOUR_POINTS + 10)


def transaction(changes: int) -> Transaction:
    events = tuple(truncated(TABLE, lsn=1, index=number) for number in range(changes))
    return Transaction(xid=1, commit_lsn=Lsn(1), commit_time_us=0, events=events, end_lsn=Lsn(2))


def test_a_table_has_a_rate_and_loses_it_when_nothing_comes() -> None:
    clock = Clock()
    rates = TableRates(clock)
    clock.now_s += 10
    rates.observe(transaction(20))
    assert (rates.per_s(TABLE.oid), rates.per_s(8)) == (2.0, 0.0)
    clock.now_s += WINDOW_S
    assert rates.per_s(TABLE.oid) == 20 / 40
    clock.now_s += 10 * WINDOW_S
    assert rates.per_s(TABLE.oid) == 0.0
