"""What load balancers and collectors are told."""

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.postgres import fresh_migrated_database, proxied
from tests.support.server import RealtimeServer, realtime, token
from tests.support.waiting import wait_until
from tidewire.postgres.embedded import EmbeddedPostgres

PRODUCTION: dict[str, Any] = {"mode": "production", "cors_origins": ()}


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn) as running:
        yield running


def figures(server: RealtimeServer) -> dict[str, float]:
    families = text_string_to_metric_families(server.get("/metrics").body.decode())
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/healthz", {"status": "ok"}),
        ("/healthcheck", {"status": "ok"}),
        ("/readyz", {"status": "ready"}),
        ("/api/ping", {"message": "Success"}),
        ("/realtime/v1/api/ping", {"message": "Success"}),
    ],
)
def test_it_answers(served: RealtimeServer, path: str, body: object) -> None:
    answer = served.get(path)
    assert (answer.status, answer.json) == (200, body)


def test_the_figures_are_those_of_the_node(served: RealtimeServer) -> None:
    before = figures(served)
    with served.connect() as one, served.connect() as two:
        for client in (one, two):
            client.join("realtime:counted")
        one.broadcast("realtime:counted", "e", b"{}", binary=False)
        two.receive("broadcast")
        now = figures(served)
    assert now["tidewire_connections"] == 2
    assert now["tidewire_channels"] == 2
    assert now["tidewire_topics"] == 1
    assert now["tidewire_live"] == 1
    assert now["tidewire_broadcasts_total"] == before["tidewire_broadcasts_total"] + 1
    assert now["tidewire_broadcast_deliveries_total"] == before["tidewire_broadcast_deliveries_total"] + 1
    wait_until(lambda: figures(served)["tidewire_connections"] == 0)


def test_a_node_that_waits_for_another_is_alive_and_not_ready(served: RealtimeServer, dsn: str) -> None:
    """Both share the default slot; `served` holds it."""
    assert served.get("/readyz").status == 200
    with realtime(dsn, ready=False) as standby:
        assert standby.get("/healthz").status == 200
        answer = standby.get("/readyz")
        assert (answer.status, answer.json["status"]) == (503, "not ready")
        assert answer.json["reasons"]


@pytest.mark.timeout(60)
def test_a_database_that_is_away_makes_it_not_ready(dsn: str) -> None:
    with proxied(dsn) as proxy, realtime(proxy.dsn, slot="away") as served:
        proxy.refuse()
        proxy.cut()
        wait_until(lambda: served.get("/readyz").status == 503, limit_s=20)
        assert "database" in served.get("/readyz").json["reasons"][0]
        assert served.get("/healthz").status == 200
        proxy.accept()
        wait_until(lambda: served.get("/readyz").status == 200, limit_s=20)


def test_in_production_figures_are_for_operators(dsn: str) -> None:
    with realtime(dsn, slot="figures", **PRODUCTION) as served:
        assert served.get("/metrics").status == 401
        assert served.get("/metrics", authorization=f"Bearer {token('anon')}").status == 401
        assert served.get("/metrics", authorization="Bearer nonsense").status == 401
        key = token("service_role")
        assert served.get("/metrics", authorization=f"Bearer {key}").status == 200
