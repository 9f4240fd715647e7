"""What only an event stream has: joins in its address, ids to go on from, commands, and proxies in between."""

import base64
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest

from tests.support.gathering_proxy import GatheringProxy
from tests.support.live_client import read_text
from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, realtime, request, token
from tests.support.sse_client import EventStream, SseClient
from tests.support.waiting import wait_until
from tests.support.websocket import RawClient, serving
from tidewire.model.position import parse_position
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.server.websocket_http import HttpProtocol

ROOM = "realtime:room"
TABLES = ("notes", "tags")
FOLLOW = [
    {
        "topic": f"realtime:{table}",
        "config": {
            "presence": {"enabled": False},
            "postgres_changes": [{"event": "INSERT", "schema": "public", "table": table}],
        },
    }
    for table in TABLES
]


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        for table in TABLES:
            execute(
                made,
                f"create table {table} (id int primary key)",
                f"grant select on {table} to anon",
                f"alter publication supabase_realtime add table {table}",
            )
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, message_limit_bytes=10_000) as running:
        yield running


def open_stream(server: RealtimeServer, **query: str) -> SseClient:
    return SseClient(server.url, apikey=token(), **query)


@contextmanager
def writing(dsn: str, start: int) -> Iterator[dict[str, list[int]]]:
    """Insert rows into both tables, numbered from `start` and several in a transaction, until the block ends.

    What was committed is gathered.
    """
    written: dict[str, list[int]] = {table: [] for table in TABLES}
    over = threading.Event()

    def write() -> None:
        with psycopg.connect(dsn) as connection:
            numbers = count(start)
            while not over.is_set():
                for number in [next(numbers) for _ in range(3)]:
                    for table in TABLES if number % 4 else TABLES[:1]:
                        connection.execute(f"insert into {table} values (%s)", [number])
                        written[table].append(number)
                connection.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield written
    finally:
        over.set()
        writer.join()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", ["last_id", "last_event_id"], ids=["header", "query"])
def test_an_address_follows_tables_and_goes_on_without_gap_or_repeat(
    served: RealtimeServer, dsn: str, how: str
) -> None:
    """As an EventSource does, which knows nothing but its address and the last id."""
    told: dict[str, list[int]] = {table: [] for table in TABLES}
    start = uuid.uuid4().int % 1000 * 1_000_000

    def follow(last_id: str) -> SseClient:
        return open_stream(served, channels=json.dumps(FOLLOW), **{how: last_id})

    def take(stream: SseClient) -> None:
        data = stream.receive("postgres_changes")["payload"]["data"]
        if start <= data["record"]["id"] < start + 1_000_000:
            # What was there before may be told as well: a join begins a little before it was asked for.
            told[data["table"]].append(data["record"]["id"])

    client = follow("")
    for _ in TABLES:
        assert client.receive("phx_reply")["payload"]["status"] == "ok"
    with writing(dsn, start) as written:
        for cut in range(20):
            for _ in range(cut % 7):
                take(client)
            client.vanish()
            client = follow(client.last_id)
    while any(told[table][-1:] != written[table][-1:] for table in TABLES):
        take(client)
    client.vanish()
    assert told == written


def test_the_id_of_an_address_with_one_binding_is_the_position(served: RealtimeServer, dsn: str) -> None:
    with open_stream(served, channels=json.dumps(FOLLOW[:1])) as client:
        reply = client.receive("phx_reply")
        assert client.last_id == reply["payload"]["response"]["position"]
        execute(dsn, "insert into notes select coalesce(max(id), 0) + 1 from notes")
        data = client.receive("postgres_changes")["payload"]["data"]
        assert client.last_id == data["position"] == str(parse_position(data["position"]))


@pytest.mark.parametrize("last_id", ["nonsense", "other.1.0", "other.1.0,1.0,1.0"])
def test_an_id_that_leads_nowhere_is_named_and_the_next_one_leads_on(served: RealtimeServer, last_id: str) -> None:
    with open_stream(served, channels=json.dumps(FOLLOW), last_id=last_id) as client:
        for _ in TABLES:
            response = client.receive("phx_reply")["payload"]["response"]
            assert (response["recovered"], bool(response["reason"])) == (False, True)
    with open_stream(served, channels=json.dumps(FOLLOW), last_id=client.last_id) as client:
        for _ in TABLES:
            assert client.receive("phx_reply")["payload"]["response"]["recovered"] is True


def test_a_stream_begins_with_padding_and_its_session_and_may_not_be_changed(served: RealtimeServer) -> None:
    stream = EventStream(served.port, f"/realtime/v1/sse?apikey={token()}")
    headers = stream.response.headers
    assert headers["content-type"].startswith("text/event-stream")
    assert {"no-store", "no-transform"} <= {part.strip() for part in headers["cache-control"].split(",")}
    assert headers["x-accel-buffering"] == "no"
    comment, event = stream.event(), stream.event()
    assert (comment.name, len(comment.data) > 2000) == (":", True)
    session = json.loads(event.data)
    assert (event.name, session["url"]) == ("session", f"sse/{session['id']}")
    assert all(len(base64.urlsafe_b64decode(session[name] + "==")) >= 16 for name in ("id", "secret"))
    stream.close()


def test_a_key_may_stand_in_a_header(served: RealtimeServer) -> None:
    for headers in (
        {"authorization": f"Bearer {token()}", "apikey": "nonsense"},
        {"x-api-key": token(), "apikey": "nonsense"},
        {"apikey": token()},
    ):
        stream = EventStream(served.port, "/socket/sse?apikey=nonsense", headers)
        assert stream.response.status == 200
        stream.close()


def test_commands_are_for_the_owner_of_the_stream(served: RealtimeServer) -> None:
    with open_stream(served) as client, open_stream(served) as other:
        heartbeat = b'["1","1","phoenix","heartbeat",{}]'
        for secret in ("", "nonsense", other.session["secret"]):
            assert client.post(heartbeat, tidewire_secret=secret).status == 410
        gone = request("POST", f"{served.url}/realtime/v1/sse/nobody", heartbeat, headers={"tidewire-secret": "x"})
        assert gone.status == 410
        answer = client.post(heartbeat)
        assert (answer.status, answer.body) == (202, b"")
    wait_until(lambda: client.post(heartbeat).status == 410)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"   ", 400), (b"[[1,", 400), (b"[" * 9000, 400), (b"x" * 10_001, 413), (b"[[]]" * 3, 400)],
    ids=["empty", "blank", "cut", "deep", "large", "several"],
)
def test_a_body_that_cannot_be_parted_is_refused(served: RealtimeServer, body: bytes, status: int) -> None:
    with open_stream(served) as client:
        assert client.post(body).status == status


def test_several_messages_come_in_one_body_and_keep_their_order(served: RealtimeServer) -> None:
    with open_stream(served) as client, open_stream(served, vsn="1.0.0") as other:
        other.join(ROOM)
        frames: list[Any] = [["1", "1", ROOM, "phx_join", {"config": {"presence": {"enabled": False}}}]]
        client.send_text(json.dumps(frames).encode())
        assert client.receive("phx_reply")["payload"]["status"] == "ok"
        messages = [["1", None, ROOM, "broadcast", {"type": "broadcast", "event": str(n)}] for n in range(100)]
        client.send_text(json.dumps(messages).encode())
        assert [other.receive()["payload"]["event"] for _ in messages] == [str(n) for n in range(100)]
        assert client.post(json.dumps([*messages, messages[0]]).encode()).status == 400


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"channels": "{}"}, "channels"),
        ({"channels": '[{"config": {}}]'}, "topic"),
        ({"channels": json.dumps([{"topic": "realtime:a"}, {"topic": "realtime:a"}])}, "once"),
        ({"channels": json.dumps([{"topic": f"realtime:{n}"} for n in range(101)])}, "at most"),
        ({"padding": "9000"}, "padding"),
        ({"padding": "-1"}, "padding"),
    ],
    ids=["object", "topic", "twice", "many", "large", "negative"],
)
def test_wishes_that_cannot_be_read_are_refused(served: RealtimeServer, query: dict[str, str], said: str) -> None:
    answer = served.get(f"/realtime/v1/sse?{urlencode({'apikey': token(), **query})}")
    assert (answer.status, said in answer.json["error"]) == (400, True)


def test_other_methods_and_preflights(served: RealtimeServer) -> None:
    url = f"{served.url}/realtime/v1/sse"
    assert request("HEAD", f"{url}?apikey={token()}").status == 405
    assert request("OPTIONS", url).status == 204
    asked = {"origin": "https://x.org", "access-control-request-method": "POST"}
    allowed = request("OPTIONS", f"{url}/id", headers={**asked, "access-control-request-headers": "tidewire-secret"})
    assert (allowed.status, allowed.headers["access-control-allow-headers"]) == (200, "tidewire-secret")


def test_a_client_that_only_listens_is_not_idle(dsn: str) -> None:
    with realtime(dsn, slot="quiet", idle_s=0.5, stream_heartbeat_s=0.05) as quiet:
        stream = EventStream(quiet.port, f"/realtime/v1/sse?apikey={token()}")
        assert [stream.event().name for _ in range(2)] == [":", "session"]
        assert [stream.event().name for _ in range(25)] == [":"] * 25  # more than a second of comments
        stream.close()


@pytest.mark.timeout(60)
def test_a_client_that_does_not_read_is_sent_away_and_slows_nobody(dsn: str) -> None:
    limits: dict[str, Any] = {"outbox_bytes": 100_000, "events_per_s_per_connection": 1e6, "slot": "slow"}
    with realtime(dsn, **limits) as served, served.connect() as sender, open_stream(served) as slow:
        slow.join(ROOM)
        with open_stream(served) as quick:
            sender.join(ROOM)
            quick.join(ROOM)
            body = b'{"text":"%b"}' % (b"x" * 60_000)

            def is_closed() -> bool:
                for _ in range(20):
                    sender.broadcast(ROOM, "much", body, binary=False)
                    assert quick.receive()["payload"]["event"] == "much"
                return b"tidewire_connections_slow_total 1.0" in served.get("/metrics").body

            wait_until(is_closed, limit_s=40)
            sender.broadcast(ROOM, "last", b"{}", binary=False)
            assert quick.receive()["payload"]["event"] == "last"


def test_the_operating_system_ends_what_nobody_reads() -> None:
    """An answer that goes on for ever is not waited for when its reader has stopped."""
    impatient = type("Impatient", (HttpProtocol,), {"unread_limit_s": 0.5})

    async def talk(_scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        await receive()

    with serving(talk, http=impatient) as talking, RawClient(talking.port) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        client.exactly(1000)
        wait_until(lambda: talking.open_connections == 0, limit_s=15)


def test_whoever_comes_during_a_stop_is_told_to_come_back(dsn: str) -> None:
    """An EventSource gives up for ever on any status but 200."""
    with realtime(dsn, slot="stopping") as served:
        served.drain()
        wait_until(lambda: served.get("/readyz").status == 503)
        stream = EventStream(served.port, f"/realtime/v1/sse?apikey={token()}")
        event = stream.event()
        assert (stream.response.status, event.name, json.loads(event.data)["code"]) == (200, "close", 1012)
        with pytest.raises(EOFError):
            stream.event()
        stream.close()


@pytest.mark.parametrize(("once", "padding"), [(True, "0"), (False, "1024")], ids=["at first", "always"])
def test_a_proxy_that_gathers_holds_nothing_up(served: RealtimeServer, *, once: bool, padding: str) -> None:
    """The next comment comes only after this test has given up, so whatever arrives was not pushed by it."""
    with (
        GatheringProxy(served.port, least_bytes=1024, once=once) as proxy,
        served.connect() as sender,
        SseClient(f"http://127.0.0.1:{proxy.port}", apikey=token(), padding=padding) as client,
    ):
        sender.join(ROOM)
        client.join(ROOM)
        for number in range(3):
            sender.broadcast(ROOM, str(number), b"{}", binary=False)
            assert client.receive("broadcast")["payload"]["event"] == str(number)


def test_what_a_proxy_held_when_it_was_cut_comes_again(served: RealtimeServer, dsn: str) -> None:
    address = {"channels": json.dumps(FOLLOW[:1])}
    with open_stream(served, **address) as client:
        client.receive("phx_reply")
    execute(dsn, "insert into notes select coalesce(max(id), 0) + 1 from notes")
    query = urlencode({"apikey": token(), "last_event_id": client.last_id, "vsn": "2.0.0", **address})
    with GatheringProxy(served.port, least_bytes=100_000) as proxy, RawClient(proxy.port) as gathered:
        gathered.send(f"GET /realtime/v1/sse?{query} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        wait_until(lambda: b'"record"' in proxy.held)
        proxy.cut()
        assert gathered.read_all() == b""
    with open_stream(served, **address, last_id=client.last_id) as again:
        assert again.receive("phx_reply")["payload"]["response"]["recovered"] is True
        assert again.receive("postgres_changes")["payload"]["data"]["table"] == "notes"


def test_a_message_with_line_breaks_stays_one_message(served: RealtimeServer) -> None:
    with open_stream(served) as client, served.connect(vsn="1.0.0") as sender:
        for each in (client, sender):
            each.join(ROOM)
        payload = b'{"type":"broadcast",\r\n"event":"e",\n\n"payload":\r{"a":"\\n"}}'
        sender.send_text(b'{"topic":"%b","event":"broadcast","payload":%b,"ref":null}' % (ROOM.encode(), payload))
        event = client.stream.event()
        assert read_text(event.data)["payload"] == {"type": "broadcast", "event": "e", "payload": {"a": "\n"}}
