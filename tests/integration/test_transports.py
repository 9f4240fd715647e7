"""One suite for every way to the server: WebSocket, taken over or behind ASGI, event stream, and long polling."""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.live_client import LiveClient
from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, realtime, request, token
from tests.support.transports import ADDRESSES, PATHS, connect
from tests.support.waiting import wait_until
from tests.support.websocket import RawClient, upgrade_request
from tidewire.postgres.embedded import EmbeddedPostgres

ROOM = "realtime:room"
ADA, BOB = str(uuid.uuid4()), str(uuid.uuid4())
MINE = {"event": "INSERT", "schema": "public", "table": "notes"}

Connect = Callable[..., LiveClient]


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        execute(
            made,
            "create table notes (id int primary key, owner uuid)",
            "alter table notes enable row level security",
            "create policy p on notes using (owner = auth.uid())",
            "grant select on notes to authenticated",
            "alter publication supabase_realtime add table notes",
            """create policy "own room" on realtime.messages to authenticated
                using (realtime.topic() = 'room-' || auth.uid())
                with check (realtime.topic() = 'room-' || auth.uid())""",
        )
        yield made


@pytest.fixture(scope="module", params=list(PATHS))
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def served(transport: str, dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, path=PATHS[transport], poll_wait_s=1.0, token_interval_s=0.1) as running:
        yield running


@pytest.fixture
def meet(served: RealtimeServer, transport: str) -> Iterator[Connect]:
    """Connect clients by this transport; all are gone after the test."""
    with ExitStack() as stack:
        yield lambda **chosen: stack.enter_context(connect(served, transport, **chosen))


@pytest.fixture
def other(served: RealtimeServer) -> Iterator[LiveClient]:
    """Return somebody who came by WebSocket."""
    with served.connect() as client:
        yield client


@pytest.mark.parametrize("vsn", ["1.0.0", "2.0.0"])
def test_broadcasts_go_both_ways_and_transports_meet(meet: Connect, other: LiveClient, vsn: str) -> None:
    client = meet(vsn=vsn)
    for each in (client, other):
        assert each.join(ROOM, broadcast={"ack": True})["postgres_changes"] == []
    ref = client.push(ROOM, "broadcast", {"type": "broadcast", "event": "there", "payload": {"text": "a\u2028\n€"}})
    assert other.receive("broadcast")["payload"]["payload"] == {"text": "a\u2028\n€"}
    reply = client.receive("phx_reply")
    assert (reply["ref"], reply["payload"]["status"]) == (ref, "ok")
    for number in range(5):
        other.broadcast(ROOM, "back", b'{\n"n": %d}' % number, binary=False)
    assert [client.receive("broadcast")["payload"]["payload"]["n"] for _ in range(5)] == list(range(5))


def test_a_broadcast_in_a_binary_frame_goes_out(meet: Connect, other: LiveClient) -> None:
    client = meet()
    for each in (client, other):
        each.join(ROOM)
    client.broadcast(ROOM, "json", b'{"n": 1}', binary=False)
    client.broadcast(ROOM, "bytes", b"\x00\xff\n", binary=True)
    assert other.receive("broadcast")["payload"]["payload"] == {"n": 1}
    assert other.receive("broadcast")["payload"]["payload"] == b"\x00\xff\n"


def test_bytes_come_in_but_where_every_message_is_json(meet: Connect, other: LiveClient, transport: str) -> None:
    client = meet()
    for each in (client, other):
        each.join(ROOM)
    other.broadcast(ROOM, "bytes", b"\x00\xff\n", binary=True)
    other.broadcast(ROOM, "after", b"{}", binary=False)
    payload = client.receive("broadcast")["payload"]
    assert (payload["event"], payload["payload"]) == (
        ("after", {}) if transport == "longpoll" else ("bytes", b"\x00\xff\n")
    )


def test_heartbeats_and_leaving_are_answered(meet: Connect) -> None:
    client = meet()
    client.join(ROOM)
    ref = client.push("phoenix", "heartbeat", {}, join_ref=None)
    assert client.receive()["ref"] == ref
    ref = client.push(ROOM, "phx_leave", {})
    assert (client.receive()["ref"], client.receive()["event"]) == (ref, "phx_close")


def test_a_frame_that_cannot_be_read_is_dropped_and_the_connection_stays(meet: Connect) -> None:
    client = meet()
    for garbage in (b'{"topic": 1}', b"[1, 2]", b'["1","2","realtime:room",{},{}]'):
        client.send_text(garbage)
    client.push("phoenix", "heartbeat", {}, join_ref=None)
    assert client.receive()["topic"] == "phoenix"


def test_presence_is_told(meet: Connect, other: LiveClient) -> None:
    topic, client = "realtime:there", meet()
    client.join(topic, presence={"enabled": True, "key": "ada"})
    assert client.receive("presence_state")["payload"] == {}
    other.join(topic, presence={"enabled": True, "key": "bob"})
    for each, key in ((client, "ada"), (other, "bob")):
        each.push(topic, "presence", {"type": "presence", "event": "track", "payload": {"mood": "fine"}})
        for watching in (client, other):
            diff = watching.receive("presence_diff")["payload"]
            assert (list(diff["joins"]), diff["leaves"]) == ([key], {})
    client.push(topic, "phx_leave", {})
    assert list(other.receive("presence_diff")["payload"]["leaves"]) == ["ada"]


def test_row_changes_are_those_that_may_be_seen_and_go_on_after_a_position(meet: Connect, dsn: str) -> None:
    start = uuid.uuid4().int % 1_000_000_000
    client = meet(apikey=token("authenticated", sub=ADA))
    after = client.join("realtime:notes", postgres_changes=[MINE])["position"]
    told: list[int] = []
    for number in range(0, 40, 4):
        rows = [(start + number + n, BOB if n == 3 else ADA) for n in range(4)]
        values = ", ".join(f"({id_}, '{owner}')" for id_, owner in rows)
        execute(dsn, f"insert into notes values {values}")
        for _ in range(number % 3 + 1):
            data = client.receive("postgres_changes")["payload"]["data"]
            told.append(data["record"]["id"])
            after = data["position"]
        client.vanish()
        client = meet(apikey=token("authenticated", sub=ADA))
        response = client.join("realtime:notes", postgres_changes=[{**MINE, "after": after}])
        assert (response["recovered"], response["position"]) == (True, after)
    expected = [start + number for number in range(40) if number % 4 != 3]
    while len(told) < len(expected):
        told.append(client.receive("postgres_changes")["payload"]["data"]["record"]["id"])
    assert told == expected


def test_a_position_of_another_history_is_named(meet: Connect) -> None:
    client = meet(apikey=token("authenticated", sub=ADA))
    response = client.join("realtime:notes", postgres_changes=[{**MINE, "after": "other.1.0"}])
    assert (response["recovered"], "load again" in response["reason"]) == (False, True)


def test_private_channels_have_policies(meet: Connect) -> None:
    ada, bob = (meet(apikey=token("authenticated", sub=sub)) for sub in (ADA, BOB))
    room = f"realtime:room-{ADA}"
    ada.join(room, private=True, broadcast={"self": True})
    bob.push(room, "phx_join", {"config": {"private": True}})
    reply = bob.receive("phx_reply")["payload"]
    assert (reply["status"], reply["response"]["reason"].split(":")[0]) == ("error", "Unauthorized")
    ada.push(room, "broadcast", {"type": "broadcast", "event": "mine", "payload": {}})
    assert ada.receive("broadcast")["payload"]["event"] == "mine"


def test_a_token_is_replaced_or_ends_the_channel(meet: Connect) -> None:
    room, client = f"realtime:room-{ADA}", meet(apikey=token("authenticated", sub=ADA))
    client.join(room, private=True)
    client.push(room, "access_token", {"access_token": token("authenticated", sub=ADA, session="new")})
    client.push(room, "access_token", {"access_token": token("authenticated", sub=BOB)})
    system = client.receive("system")["payload"]
    assert (system["status"], "permission" in system["message"]) == ("error", True)
    assert client.receive()["event"] == "phx_close"


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ({}, 401, "API key is missing"),
        ({"apikey": "nonsense"}, 401, "The token provided is not a valid JWT"),
        ({"apikey": token(exp=1)}, 401, "Token has expired"),
        ({"apikey": token(), "vsn": "3.0.0"}, 403, "vsn"),
        ({f"p{n}": "1" for n in range(101)}, 400, "query"),
    ],
    ids=["nothing", "nonsense", "expired", "version", "query"],
)
def test_refusals_have_a_status_and_words(
    served: RealtimeServer, transport: str, query: dict[str, str], status: int, said: str
) -> None:
    found, body = knock(served, transport, query)
    assert (found, said in body["error"]) == (status, True)


def test_a_full_server_says_so(transport: str, dsn: str) -> None:
    with (
        realtime(dsn, path=PATHS[transport], slot=f"full_{transport}", max_connections=1) as served,
        connect(served, transport) as client,
    ):
        client.join(ROOM)
        status, body = knock(served, transport, {"apikey": token()})
        assert (status, body["error"]) == (429, "Too many connected users")


def test_the_figures_say_how_clients_come(served: RealtimeServer, meet: Connect, transport: str) -> None:
    def shown() -> float:
        name = transport.removesuffix("_asgi")
        text = served.get("/metrics").body.decode()
        (line,) = [
            line for line in text.splitlines() if line.startswith(f'tidewire_transport_connections{{transport="{name}"')
        ]
        return float(line.split()[1])

    clients = [meet() for _ in range(3)]
    with_them = shown()  # and perhaps with some of other tests, who are about to leave
    assert with_them >= 3
    if transport != "longpoll":
        for client in clients:
            client.vanish()
        wait_until(lambda: shown() <= with_them - 3)


def test_whoever_vanishes_leaves_and_whoever_stays_is_sent_away_by_a_stop(transport: str, dsn: str) -> None:
    topic, presence = "realtime:there", {"enabled": True, "key": "ada"}
    track = {"type": "presence", "event": "track", "payload": {}}
    chosen: dict[str, Any] = {"slot": f"stop_{transport}", "poll_gap_s": 0.5, "poll_wait_s": 1.0}
    with realtime(dsn, path=PATHS[transport], **chosen) as served, served.connect() as watching:
        watching.join(topic, presence={"enabled": True, "key": "bob"})
        gone = connect(served, transport)
        gone.join(topic, presence=presence)
        gone.push(topic, "presence", track)
        assert list(watching.receive("presence_diff")["payload"]["joins"]) == ["ada"]
        gone.vanish()
        assert list(watching.receive("presence_diff")["payload"]["leaves"]) == ["ada"]
        with connect(served, transport) as staying:
            staying.join(ROOM)
            served.drain()
            staying.wait_for_end()


def knock(served: RealtimeServer, transport: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Ask to be let in, and return how that was refused."""
    target = f"{ADDRESSES[transport]}?{urlencode(query)}"
    if not transport.startswith("websocket"):
        answer = request("GET", served.url + target)
        return answer.status, answer.json
    with RawClient(served.port) as client:
        client.send(upgrade_request(target))
        status = int(client.read_until(b"\r\n\r\n").split()[1])
        found = re.search(rb"{.*}", client.read_all())
        assert found is not None
        return status, json.loads(found[0])
