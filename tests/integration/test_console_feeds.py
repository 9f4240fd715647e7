"""What operators hear in the server's own topics, and that nobody else hears it or speaks there."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, SocketClient, realtime, token
from tidewire.postgres.embedded import EmbeddedPostgres

OVERVIEW, CONNECTIONS, LOG = (f"realtime:tidewire:{name}" for name in ("overview", "connections", "log"))
pytestmark = pytest.mark.timeout(60)  # the first of them waits for a database and a server

OPERATOR = token("anon", operator=True)


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        execute(
            made,
            "create table orders (id int primary key)",
            "grant select on orders to anon",
            "alter publication supabase_realtime add table orders",
            'create policy "all" on realtime.messages using (true) with check (true)',
            "select realtime.tidewire_open_today()",
        )
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn) as running:
        yield running


def follow(served: RealtimeServer, topic: str, apikey: str = OPERATOR, **config: Any) -> SocketClient:
    client = served.connect(apikey=apikey)
    client.join(topic, private=True, **config)
    return client


def hear(client: SocketClient) -> tuple[str, Any]:
    """Return the next broadcast."""
    payload = client.receive("broadcast")["payload"]
    return payload["event"], payload["payload"]


def refused(served: RealtimeServer, topic: str, apikey: str, *, private: bool = True) -> str:
    with served.connect(apikey=apikey) as client:
        client.push(topic, "phx_join", {"config": {"private": private, "presence": {"enabled": False}}})
        reply = client.receive("phx_reply")["payload"]
        assert reply["status"] == "error"
        reason: str = reply["response"]["reason"]
        return reason


# --- overview ------------------------------------------------------------------------------------------------


def test_an_overview_comes_by_itself_and_counts_what_flows(served: RealtimeServer, dsn: str) -> None:
    with follow(served, OVERVIEW) as client, served.connect() as reader:
        reader.join("realtime:orders", postgres_changes=[{"event": "*", "schema": "public", "table": "orders"}])
        event, hour = hear(client)
        assert (event, hour["every_s"], len(hour["bounds_ms"])) == ("hour", 10, len(hour["now"]["latencies"]))
        execute(dsn, "insert into orders select generate_series(1, 50)")
        for _ in range(50):
            reader.receive("postgres_changes")
        while (now := hear(client)[1])["latency"]["p50_ms"] is None:
            pass
    assert now["source"] == "streaming"
    assert now["live"] is True
    assert now["connections"] >= 2
    assert now["memory_bytes"] > 10 * 2**20
    assert sum(now["latencies"]) >= 1
    assert 0 < now["latency"]["p50_ms"] <= now["latency"]["p99_ms"]


def test_every_newcomer_is_told_the_last_hour_first(served: RealtimeServer) -> None:
    with follow(served, OVERVIEW) as one, follow(served, OVERVIEW) as two:
        assert hear(one)[0] == "hour"
        assert hear(two)[0] == "hour"
        assert (hear(one)[0], hear(two)[0]) == ("overview", "overview")


# --- connections ---------------------------------------------------------------------------------------------


def test_who_comes_and_goes_is_told(served: RealtimeServer) -> None:
    with follow(served, CONNECTIONS) as client:
        event, first = hear(client)
        assert event == "connections"
        known = {row["number"] for row in first["connections"]}
        with served.connect(apikey=token("authenticated", sub="eve")) as other:
            other.join("realtime:room")
            row = next(row for row in changes(client) if row["user"] == "eve")
        assert row["number"] not in known
        assert (row["role"], row["channels"], row["transport"]) == ("authenticated", 1, "websocket")
        assert sys.platform != "linux" or row["rtt_ms"] > 0
        while row["number"] not in hear(client)[1]["gone"]:
            pass


def changes(client: SocketClient) -> Iterator[dict[str, Any]]:
    while True:
        yield from hear(client)[1]["changed"]


# --- log -----------------------------------------------------------------------------------------------------


def test_what_is_logged_is_told_without_what_nobody_listed(dsn: str) -> None:
    with realtime(dsn, slot="logged") as server, follow(server, LOG) as client:
        assert hear(client)[0] == "log"
        with server.connect(apikey=token("authenticated", sub="mallory")) as other:
            other.join("realtime:room")
            (row,) = [each for each in server.node.connection_rows(limit=10) if each.user == "mallory"]
            path = f"/console/api/connections/{row.number}/disconnect"
            assert server.post(path, authorization=f"Bearer {OPERATOR}").status == 204
        found = next(each for each in events(client) if each["event"] == "connection_disconnected")
    assert found["details"]["connection"] == row.number
    assert found["details"].keys() <= {"connection", "request_id"}


def events(client: SocketClient) -> Iterator[dict[str, Any]]:
    while True:
        yield from hear(client)[1]["events"]


# --- nobody else ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", [OVERVIEW, CONNECTIONS, LOG, "realtime:tidewire:anything"])
def test_policies_let_nobody_in(served: RealtimeServer, topic: str) -> None:
    assert "You do not have permissions" in refused(served, topic, token("authenticated"))
    assert "You do not have permissions" in refused(
        served, topic, token("authenticated", user_metadata={"operator": True})
    )


@pytest.mark.parametrize("apikey", [OPERATOR, token("service_role"), token("anon")])
def test_the_public_topics_of_these_names_are_nobodys(served: RealtimeServer, apikey: str) -> None:
    assert "You do not have permissions" in refused(served, OVERVIEW, apikey, private=False)


def test_nobody_speaks_in_the_servers_name(served: RealtimeServer, dsn: str) -> None:
    """Not an operator, not over HTTP, and nobody who may write to the table of messages."""
    key = token("service_role")
    body = {"forged": True}
    with follow(served, LOG) as client, follow(served, LOG, key, broadcast={"ack": True}) as insider:
        assert hear(client)[0] == "log"
        insider.push(LOG, "broadcast", {"type": "broadcast", "event": "forged", "payload": body})
        assert insider.receive("phx_reply")["payload"]["status"] == "error"
        path = "/api/broadcast/tidewire%3Alog/events/forged"
        assert served.post(f"{path}?private=true", body, authorization=f"Bearer {key}").status == 403
        served.post(path, body, authorization=f"Bearer {key}")
        execute(dsn, "select realtime.send('{\"forged\": true}', 'forged', 'tidewire:log')")
        execute(dsn, "select realtime.send('{\"forged\": true}', 'forged', 'tidewire:log', false)")
        # The database's messages come in their order, so this one tells that those before it were not passed on.
        with served.connect(apikey=key) as other:
            other.join("realtime:room", private=True)
            execute(dsn, "select realtime.send('{}', 'end', 'room')")
            assert hear(other)[0] == "end"
        with follow(served, LOG, broadcast={"replay": {"since": 0}}) as late:
            assert hear(late)[0] == "log"
        client.push(LOG, "phx_leave", {})
        heard = []
        while (message := client.read())["event"] != "phx_reply":
            heard.append(message["payload"].get("event"))
    assert set(heard) <= {"events"}


def test_nobody_is_present_in_them(served: RealtimeServer) -> None:
    with follow(served, LOG, presence={"enabled": True}) as client:
        client.push(LOG, "presence", {"type": "presence", "event": "track", "payload": {"at": "home"}})
        assert client.receive("phx_reply")["payload"]["status"] == "error"
