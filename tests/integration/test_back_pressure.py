"""Readers that do not keep up, and transactions that are too large: others go on, and nobody misses anything."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.log import execute
from tests.support.server import WEBSOCKET_CLASSES, RealtimeServer, SocketClient, realtime
from tests.support.waiting import wait_until

ROWS = 30_000
"""Enough to be sent in blocks while they are written."""
UNLIMITED: dict[str, Any] = {"events_per_s_per_connection": 1e6}


@pytest.fixture
def dsn(migrated_database: str) -> str:
    execute(
        migrated_database,
        "create table big (id int primary key, body text)",
        "create table small (id int primary key)",
        "grant select on big, small to anon",
        "alter publication supabase_realtime add table big, small",
    )
    return migrated_database


@pytest.fixture
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, bulk_changes=100, **UNLIMITED) as running:
        yield running


def follow(served: RealtimeServer, *tables: str, **more: Any) -> SocketClient:
    client = served.connect()
    wishes = [{"event": "INSERT", "schema": "public", "table": table, **more} for table in tables]
    client.join(f"realtime:{tables[0]}", postgres_changes=wishes)
    return client


def read(client: SocketClient) -> tuple[str, int]:
    data = client.receive("postgres_changes")["payload"]["data"]
    return data["table"], data["record"]["id"]


def insert(rows: int) -> str:
    return f"insert into big select n, repeat('x', 50) from generate_series(1, {rows}) n"


def metric(served: RealtimeServer, name: str) -> float:
    lines = served.get("/metrics").body.decode().splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith(name + " ")), 0.0)


def test_a_reader_of_a_large_transaction_hears_all_of_it_in_order_and_nobody_waits_for_it(
    served: RealtimeServer, dsn: str
) -> None:
    with follow(served, "big", "small") as reader, follow(served, "small") as bystander:
        execute(dsn, insert(ROWS), "insert into small values (1)")
        assert read(bystander) == ("small", 1)  # while the other has read nothing yet
        assert [read(reader) for _ in range(ROWS)] == [("big", n + 1) for n in range(ROWS)]
        assert read(reader) == ("small", 1)
        execute(dsn, "insert into big values (0)", "insert into small values (2)")
        assert [read(reader) for _ in range(2)] == [("big", 0), ("small", 2)]
        assert metric(served, "tidewire_connections_slow_total") == 0
        assert metric(served, 'tidewire_events_total{event="channels_set_back"}') >= 1


def test_a_reader_of_few_rows_of_a_large_transaction_is_told_as_they_come(served: RealtimeServer, dsn: str) -> None:
    with follow(served, "big", filter=f"id=gt.{ROWS - 50}") as reader:
        execute(dsn, insert(ROWS))
        assert [read(reader)[1] for _ in range(50)] == list(range(ROWS - 49, ROWS + 1))
        assert metric(served, 'tidewire_events_total{event="channels_set_back"}') == 0


def test_whoever_comes_back_passes_by_what_it_does_not_follow(served: RealtimeServer, dsn: str) -> None:
    with follow(served, "small") as reader:
        execute(dsn, "insert into small values (1)")
        after = reader.receive("postgres_changes")["payload"]["data"]["position"]
    with follow(served, "small") as bystander:
        execute(dsn, "insert into small values (2)", insert(ROWS), "insert into small values (3)")
        assert [read(bystander) for _ in range(2)] == [("small", 2), ("small", 3)]
    with follow(served, "small", after=after) as reader:
        assert [read(reader) for _ in range(2)] == [("small", 2), ("small", 3)]
    with follow(served, "big", "small", after=after) as reader:
        assert read(reader) == ("small", 2)
        assert [read(reader)[1] for _ in range(ROWS)] == list(range(1, ROWS + 1))
        assert read(reader) == ("small", 3)


def test_a_reader_for_whom_the_past_is_too_short_is_told_so(dsn: str) -> None:
    with (
        realtime(dsn, bulk_changes=100, history_bytes=1, slot="short", **UNLIMITED) as served,
        follow(served, "big") as reader,
    ):
        execute(dsn, insert(ROWS))
        while (message := reader.receive("postgres_changes", "phx_error"))["event"] == "postgres_changes":
            after = message["payload"]["data"]["position"]
        assert message["event"] == "phx_error"
        wish = {"event": "INSERT", "schema": "public", "table": "big", "after": after}
        assert reader.join("realtime:big", postgres_changes=[wish])["recovered"] is False


@pytest.mark.timeout(60)
@pytest.mark.parametrize("path", list(WEBSOCKET_CLASSES))
def test_a_slow_listener_loses_the_oldest_broadcasts_and_is_told(dsn: str, path: str) -> None:
    options: dict[str, Any] = {"slow_broadcasts": "drop", "outbox_bytes": 400_000, "slot": f"drop_{path}"}
    body = b'{"text":"%b"}' % (b"x" * 60_000)
    with (
        realtime(dsn, path=path, **options, **UNLIMITED) as served,
        served.connect() as slow,
        served.connect() as sender,
    ):
        slow.join("realtime:room")
        sender.join("realtime:room")
        sent = 0

        def has_dropped() -> bool:
            nonlocal sent
            for _ in range(10):
                sender.broadcast("realtime:room", f"e{sent}", body, binary=False)
                sent += 1
            return metric(served, "tidewire_broadcasts_dropped_total") >= 5

        wait_until(has_dropped, limit_s=30)
        heard: list[int] = []
        notices: list[str] = []
        while not heard or heard[-1] != sent - 1:
            message = slow.receive()
            if message["event"] == "system":
                notices.append(message["payload"]["message"])
            else:
                heard.append(int(message["payload"]["event"][1:]))
        assert heard == sorted(heard)
        assert sum(int(notice.split()[0]) for notice in notices) == sent - len(heard)
        assert metric(served, "tidewire_connections_slow_total") == 0
