"""Where the past ends: by age, by bytes. Whoever stood before that is told to load again."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.support.log import execute, fetch
from tests.support.postgres import MakeServer
from tests.support.restarts import TABLE, Resuming, resuming
from tests.support.server import migrate, realtime
from tests.support.waiting import wait_until
from tidewire.hub.history import TOO_OLD
from tidewire.postgres.embedded_process import STOP_LIMIT_S

OURS = "slot_name = 'tidewire'"
CONFIRMED = f"select confirmed_flush_lsn - '0/0' from pg_replication_slots where {OURS}"
LAG = f"select pg_current_wal_flush_lsn() - confirmed_flush_lsn from pg_replication_slots where {OURS}"


@pytest.fixture
def dsn(migrated_database: str) -> str:
    execute(migrated_database, *TABLE)
    return migrated_database


def insert(dsn: str, *numbers: int) -> None:
    execute(dsn, *(f"insert into notes values ({number}, 0)" for number in numbers))


def positions(dsn: str, *numbers: int, **changed: Any) -> list[str]:
    """Insert rows while a server follows, and return where each of them is."""
    found = []
    with following(dsn, **changed) as client:
        for number in numbers:
            insert(dsn, number)
            client.read()
            found.append(client.after or "")
    return found


@contextmanager
def following(dsn: str, **changed: Any) -> Iterator[Resuming]:
    with realtime(dsn, **changed) as served, resuming(served.port) as client:
        client.join()
        yield client


def answer(port: int, after: str) -> tuple[bool, str | None]:
    """Join behind a position, and return what the reply says about it."""
    with resuming(port) as client:
        client.after = after
        reply = client.join()
    return reply["recovered"], reply.get("reason")


# --- the window ------------------------------------------------------------------------------------------------------


def test_a_quiet_database_forgets_nothing(dsn: str) -> None:
    (first,) = positions(dsn, 1, retention_age_s=0.01)
    for _ in range(2):  # starting anew does not make anything older
        with realtime(dsn, retention_age_s=0.01) as served:
            assert answer(served.port, first) == (True, None)


def test_what_is_too_old_goes(dsn: str) -> None:
    before = fetch(dsn, "select pg_current_wal_flush_lsn() - '0/0'")
    first, second, third = positions(dsn, 1, 2, 3, retention_age_s=0.01)
    with following(dsn, retention_age_s=0.01) as client:
        insert(dsn, 4)
        client.read()
        wait_until(lambda: fetch(dsn, CONFIRMED) > before, limit_s=15)
        insert(dsn, 5)
        client.read(until=5)
        fifth = client.after or ""
    with realtime(dsn) as served:
        assert answer(served.port, first) == (False, TOO_OLD)
        assert answer(served.port, fifth) == (True, None)
    assert second < third


def test_too_many_bytes_go_oldest_first(dsn: str) -> None:
    with following(dsn, retention_bytes=300_000, events_per_s_per_connection=1e6, outbox_bytes=2**24) as client:
        insert(dsn, 1)
        client.read()
        first = client.after or ""
        for number in range(2, 12):
            execute(dsn, f"insert into notes select n, 0 from generate_series({number}000, {number}999) n")
            client.read(until=number * 1000 + 999)
        wait_until(lambda: fetch(dsn, LAG) <= 300_000)
        assert fetch(dsn, LAG) > 100_000
        insert(dsn, 19_999)
        client.read(until=19_999)
        last = client.after or ""
    # Autovacuum, checkpoints and other databases write to the log as well: for the last one there is no time for that,
    # and for the server that comes after it must not count.
    with realtime(dsn, retention_bytes=2**30) as served, resuming(served.port) as back:
        assert answer(served.port, first) == (False, TOO_OLD)
        assert answer(served.port, last) == (True, None)
        insert(dsn, 20_000)
        assert back.join().get("recovered") is None


def test_memory_that_holds_less_than_the_slot_counts(dsn: str) -> None:
    first, *_, last = positions(dsn, *range(1, 30))
    with realtime(dsn, history_bytes=3000) as served:
        assert answer(served.port, first) == (False, TOO_OLD)
        assert answer(served.port, last) == (True, None)


def test_traffic_that_nobody_follows_does_not_fill_the_disk(dsn: str) -> None:
    execute(dsn, "create table noise (n int)")
    with following(dsn, retention_bytes=300_000) as client:
        insert(dsn, 1)
        client.read()
        execute(dsn, "insert into noise select generate_series(1, 20000)")
        wait_until(lambda: fetch(dsn, LAG) <= 300_000)


def test_nothing_of_the_past_is_sent_again(dsn: str) -> None:
    send = "select realtime.send('{{\"n\": {}}}', 'ping', 'notes', false)"
    with following(dsn) as client:
        execute(dsn, send.format(1))
        assert client.hears("broadcast")["payload"]["payload"]["n"] == 1
        insert(dsn, 1)
    execute(dsn, send.format(2))
    with following(dsn) as client:
        execute(dsn, send.format(3))
        assert client.hears("broadcast", "postgres_changes")["payload"]["payload"]["n"] == 3
        insert(dsn, 2)
        client.read()
        assert client.seen == [2]


def test_a_node_that_takes_over_has_the_past_as_well(dsn: str) -> None:
    with ExitStack() as first_node:
        first = first_node.enter_context(realtime(dsn))
        with realtime(dsn, ready=False) as second, resuming(first.port) as client, resuming(second.port) as other:
            client.join()
            insert(dsn, 1)
            client.read()
            client.leave()
            first_node.close()
            insert(dsn, 2)
            other.after = client.after
            assert other.join()["recovered"] is True
            insert(dsn, 3)
            other.read(until=3)
            assert other.seen == [2, 3]


def test_figures_say_what_is_kept(dsn: str) -> None:
    with realtime(dsn) as served, resuming(served.port) as client:
        client.join()
        insert(dsn, 1)
        client.read()
        text = served.get("/metrics").body.decode()
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert 0 < float(figures["tidewire_retained_bytes"]) < 10**6
    assert 0 <= float(figures["tidewire_retained_seconds"]) < 60


# --- Postgres --------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
@pytest.mark.parametrize("version", ["embedded-18", "debian-15"])
def test_postgres_stops_at_once_although_much_is_kept(make_server: MakeServer, version: str) -> None:
    postgres = make_server(version)
    dsn = postgres.dsn()
    migrate(dsn)
    execute(dsn, *TABLE)
    with following(dsn) as client:
        insert(dsn, 1)
        client.read()
        before_s = time.monotonic()
        postgres.stop()
        assert time.monotonic() - before_s < STOP_LIMIT_S
        postgres.start()
        insert(dsn, 2)
        client.read()
        assert client.seen == [1, 2]
