"""`tidewire top`: what it says of a running server, and of none."""

import json
import signal
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.command import complaint, run, running
from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, realtime, token
from tests.support.waiting import wait_until
from tidewire.postgres.embedded import EmbeddedPostgres


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, mode="production") as operated:
        yield operated


@pytest.mark.timeout(60)
def test_it_tells_figures_and_rates(served: RealtimeServer, dsn: str) -> None:
    key = token("service_role")

    def has_seen_a_change() -> bool:
        return b"tidewire_changes_total 1.0" in served.get("/metrics", authorization=f"Bearer {key}").body

    with served.connect() as client, psycopg.connect(dsn, autocommit=True) as admin:
        client.join("realtime:top")
        admin.execute("create table watched (id int primary key)")
        admin.execute("alter publication supabase_realtime add table watched")
        admin.execute("insert into watched values (1)")
        wait_until(has_seen_a_change)
        result = run("top", "--url", served.url, "--token", key, "--json", "--interval-s", "0.1")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["live"], report["draining"]) == (True, False)
    assert report["figures"]["connections"] == report["figures"]["channels"] == 1
    assert report["totals"]["changes"] == 1
    assert 0 <= report["last_change_age_s"] < 60
    assert 0 < report["lag_ms"] < 60_000
    assert set(report["per_s"]) == set(report["totals"])


@pytest.mark.timeout(60)
def test_it_goes_on_until_it_is_stopped(served: RealtimeServer) -> None:
    arguments = ("top", "--url", served.url, "--token", token("service_role"), "--interval-s", "0.1")
    with running(*arguments, database_url="") as process:
        assert process.stdout is not None
        shown = ""
        while shown.count("connections opened") < 2:
            shown += process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "live" in shown


@pytest.mark.timeout(60)
def test_production_asks_for_a_token(served: RealtimeServer) -> None:
    assert "401" in complaint(run("top", "--url", served.url, "--json"))
    assert "401" in complaint(run("top", "--url", served.url, "--json", "--token", token("authenticated")))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("url", "said"),
    [("http://127.0.0.1:9", "refused"), ("127.0.0.1:4000", "http://"), ("file:///etc/passwd", "http://")],
)
def test_it_says_where_there_is_no_server(url: str, said: str) -> None:
    assert said in complaint(run("top", "--url", url, "--json"))
