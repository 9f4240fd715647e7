"""Whoever follows a table that is quiet for longer than the past is kept goes on: nothing was missed."""

import json

import pytest

from tests.support.live_client import LiveClient
from tests.support.log import execute, fetch
from tests.support.server import RealtimeServer, realtime, token
from tests.support.sse_client import SseClient
from tests.support.transports import connect
from tests.support.waiting import wait_until
from tidewire.hub.history import TOO_OLD
from tidewire.model.position import parse_position

NOTES = "realtime:notes"
WISH = {"event": "INSERT", "schema": "public", "table": "notes"}
CONFIRMED = "select confirmed_flush_lsn - '0/0' from pg_replication_slots where slot_name = 'tidewire'"
END = "select pg_current_wal_insert_lsn() - '0/0'"
AGE_S = 0.01


@pytest.fixture
def dsn(migrated_database: str) -> str:
    for table in ("notes", "busy"):
        execute(
            migrated_database,
            f"create table {table} (id int generated always as identity primary key, text text)",
            f"grant select on {table} to anon",
            f"alter publication supabase_realtime add table {table}",
        )
    return migrated_database


def let_the_window_go_by(dsn: str, joined: str) -> int:
    """Write to the other table until the slot has passed a position; return where the last transaction begins."""
    begun: list[int] = []

    def has_passed() -> bool:
        begun.append(fetch(dsn, END))
        execute(dsn, "insert into busy default values")
        return bool(fetch(dsn, CONFIRMED) > parse_position(joined).lsn)

    wait_until(has_passed, limit_s=15)
    return begun[-1]


def heartbeat(client: LiveClient) -> dict[str, str]:
    """Send a heartbeat, and return where its answer says that channels stand."""
    ref = client.push("phoenix", "heartbeat", {}, join_ref=None)
    while (reply := client.receive("phx_reply"))["ref"] != ref:
        pass
    assert reply["payload"]["status"] == "ok"
    positions: dict[str, str] = reply["payload"]["response"].get("positions", {})
    return positions


def come_on(client: LiveClient, last: int) -> str:
    """Send heartbeats until an answer names the position of the last transaction, which the slot never passes."""
    heard: list[str] = []

    def has_come_on() -> bool:
        heard.append(heartbeat(client).get(NOTES, "e.0.0"))
        return parse_position(heard[-1]).lsn >= last

    wait_until(has_come_on)
    return heard[-1]


def rejoin(served: RealtimeServer, transport: str, after: str) -> tuple[bool, str | None]:
    with connect(served, transport) as client:
        response = client.join(NOTES, postgres_changes=[{**WISH, "after": after}])
        return response["recovered"], response.get("reason")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("transport", ["websocket", "longpoll", "sse"])
def test_a_heartbeat_says_how_far_a_quiet_table_has_come(dsn: str, transport: str) -> None:
    with realtime(dsn, retention_age_s=AGE_S) as served, connect(served, transport) as client, served.connect() as busy:
        joined = client.join(NOTES, postgres_changes=[WISH])["position"]
        busy.join("realtime:busy", postgres_changes=[{**WISH, "table": "busy"}])
        after = come_on(client, let_the_window_go_by(dsn, joined))
        assert set(heartbeat(busy)) <= {"realtime:busy"}
    execute(dsn, "insert into notes default values")
    with realtime(dsn) as served:
        assert rejoin(served, transport, joined) == (False, TOO_OLD)
        assert rejoin(served, transport, after) == (True, None)
        with connect(served, transport) as client:
            assert client.join(NOTES, postgres_changes=[{**WISH, "after": after}])["recovered"] is True
            assert client.receive("postgres_changes")["payload"]["data"]["record"]["id"] == 1


@pytest.mark.timeout(60)
def test_a_stream_says_it_by_an_id_without_an_event(dsn: str) -> None:
    """As an EventSource does, which says nothing by itself and knows nothing but the last id."""
    address = {"apikey": token(), "channels": json.dumps([{"topic": NOTES, "config": {"postgres_changes": [WISH]}}])}
    with (
        realtime(dsn, stream_heartbeat_s=0.05, retention_age_s=AGE_S) as served,
        SseClient(served.url, **address) as client,
    ):
        assert client.receive()["event"] == "phx_reply"
        joined = client.last_id
        last = let_the_window_go_by(dsn, joined)
        while (id_ := client.stream.event().id) is None or parse_position(id_).lsn < last:
            pass
    execute(dsn, "insert into notes default values")
    with realtime(dsn) as served:
        with SseClient(served.url, **address, last_id=joined) as client:
            assert client.receive("phx_reply")["payload"]["response"]["recovered"] is False
        with SseClient(served.url, **address, last_id=id_) as client:
            assert client.receive("phx_reply")["payload"]["response"]["recovered"] is True
            assert client.receive("postgres_changes")["payload"]["data"]["record"]["id"] == 1


@pytest.mark.timeout(60)
@pytest.mark.parametrize("vsn", ["1.0.0", "2.0.0"])
def test_without_row_changes_a_heartbeat_is_answered_as_ever(dsn: str, vsn: str) -> None:
    with realtime(dsn) as served, served.connect(vsn=vsn) as client, served.connect(vsn=vsn) as follower:
        client.join("realtime:chat")
        follower.join(NOTES, postgres_changes=[WISH])
        execute(dsn, "insert into notes default values")
        told = follower.receive("postgres_changes")["payload"]["data"]["position"]
        assert heartbeat(client) == {}
        wait_until(lambda: heartbeat(follower).keys() == {NOTES})
        assert parse_position(heartbeat(follower)[NOTES]).follows(parse_position(told))
