"""Clients have broadcasts kept in `realtime.messages`, where policies allow it; later readers are replayed them."""

import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database, proxied
from tests.support.server import Answer, RealtimeServer, SocketClient, realtime, token
from tests.support.tables import open_pool
from tests.support.waiting import wait_until
from tidewire.model.errors import PostgresError
from tidewire.ports import Keeping, KeptBroadcast
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.kept_broadcasts import PostgresKeptBroadcasts

KEEP = b'{"persist":true}'
SINGLE = "/api/broadcast/{}/events/e?private=true"
OK = {"status": "ok", "response": {}}


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        execute(
            made,
            'create policy "read" on realtime.messages for select to authenticated using (true)',
            """create policy "write" on realtime.messages for insert to authenticated
               with check (extension = 'broadcast' or (extension = 'persistence' and realtime.topic() like 'kept%'))""",
        )
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn) as running:
        yield running


def member(
    served: RealtimeServer, topic: str, *, vsn: str = "2.0.0", replay: bool = False, private: bool = True
) -> SocketClient:
    client = served.connect(vsn=vsn, apikey=token("authenticated"))
    broadcast: dict[str, Any] = {"ack": True} | ({"replay": {"since": 0, "limit": 25}} if replay else {})
    client.join(f"realtime:{topic}", private=private, broadcast=broadcast)
    return client


def say(client: SocketClient, topic: str, body: bytes = b"1", *, meta: bytes = KEEP, binary: bool = False) -> Any:
    """Send a broadcast and return the answer."""
    ref = client.broadcast(f"realtime:{topic}", "e", body, meta=meta, binary=binary)
    reply = client.receive("phx_reply")
    assert reply["ref"] == ref
    return reply["payload"]


def post(served: RealtimeServer, topic: str, query: str, body: bytes = b"1", **headers: str) -> Answer:
    authorization = f"Bearer {token('authenticated')}"
    return served.post(SINGLE.format(topic) + query, body, authorization=authorization, **headers)


def heard(client: SocketClient) -> tuple[Any, Any]:
    payload = client.receive("broadcast")["payload"]
    return payload["payload"], payload.get("meta")


def rows(dsn: str, topic: str) -> list[tuple[Any, ...]]:
    """Return what is stored of a topic; the last column is for how many seconds."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            """select event, payload, binary_payload, private, extension, skip_broadcast, broadcasted_at is not null,
                      round(extract(epoch from expires_at - inserted_at))::int
               from realtime.messages where topic = %s order by inserted_at""",
            [topic],
        ).fetchall()


def test_it_is_stored_answered_by_its_id_and_replayed(served: RealtimeServer, dsn: str) -> None:
    with member(served, "kept a") as sender, member(served, "kept a") as listener:
        answer = say(sender, "kept a", b'{"n": 1.50}')
        id_ = answer["response"]["id"]
        assert (answer["status"], str(uuid.UUID(id_))) == ("ok", id_)
        assert heard(listener) == ({"n": 1.5}, {"id": id_})
        say(sender, "kept a", b"\x00\xff", binary=True)
        assert heard(listener)[0] == b"\x00\xff"
        say(sender, "kept a", b"2", meta=b"")
        assert heard(listener) == (2, None)
    with member(served, "kept a", replay=True) as late, member(served, "kept a", vsn="1.0.0", replay=True) as older:
        assert heard(late) == ({"n": 1.5}, {"id": id_, "replayed": True})
        assert heard(late)[0] == b"\x00\xff"
        assert heard(older) == ({"n": 1.5}, {"id": id_, "replayed": True})
        assert say(late, "kept a", b"3", meta=b"") == OK
        assert heard(older) == (3, None)
    assert rows(dsn, "kept a") == [
        ("e", {"n": 1.5}, None, True, "broadcast", True, True, None),
        ("e", None, b"\x00\xff", True, "broadcast", True, True, None),
    ]


def test_it_is_told_once_though_the_log_brings_its_row(served: RealtimeServer, dsn: str) -> None:
    with member(served, "kept once") as sender, member(served, "kept once") as listener:
        for number in (b"1", b"2"):
            say(sender, "kept once", number)
        execute(dsn, "select realtime.send('3', 'e', 'kept once')")  # comes through the log behind their rows
        assert [heard(listener)[0] for _ in range(3)] == [1, 2, 3]
        assert heard(sender)[0] == 3


def test_whoever_may_not_have_it_kept_may_still_send_it(served: RealtimeServer, dsn: str) -> None:
    with member(served, "other") as sender, member(served, "other") as listener:
        assert say(sender, "other") == OK
        assert heard(listener) == (1, None)
    assert rows(dsn, "other") == []


def test_it_is_not_replayed_after_its_time(served: RealtimeServer, dsn: str) -> None:
    with member(served, "kept short") as sender:
        say(sender, "kept short", b"1", meta=b'{"persist":{"ttl":60}}')
        say(sender, "kept short", b"2", meta=b'{"persist":{"ttl":259200}}')
    assert [row[-1] for row in rows(dsn, "kept short")] == [60, 259_200]
    execute(
        dsn,
        """update realtime.messages set expires_at = (clock_timestamp() at time zone 'utc')
           where topic = 'kept short' and payload = '1'""",
    )
    with member(served, "kept short", replay=True) as late:
        assert heard(late)[0] == 2


@pytest.mark.parametrize("wish", [b"0", b"259201", b'"60"', b"true"])
def test_a_time_that_cannot_be_is_refused(served: RealtimeServer, dsn: str, wish: bytes) -> None:
    with member(served, "kept odd") as sender, member(served, "kept odd") as listener:
        answer = say(sender, "kept odd", meta=b'{"persist":{"ttl":%b}}' % wish)
        assert answer == {"status": "error", "response": {"error": "invalid_persist_ttl"}}
        assert say(sender, "kept odd", b"2", meta=b"") == OK
        assert heard(listener) == (2, None)
    assert rows(dsn, "kept odd") == []


def test_a_public_channel_keeps_nothing(served: RealtimeServer, dsn: str) -> None:
    with member(served, "kept public", private=False) as sender:
        assert say(sender, "kept public") == OK
    assert rows(dsn, "kept public") == []


def test_what_postgres_cannot_store_is_sent_and_not_kept(served: RealtimeServer, dsn: str) -> None:
    with member(served, "kept part") as sender, member(served, "kept part") as listener:
        assert say(sender, "kept part", rb'{"text":"a\u0000b"}') == OK  # jsonb has no such character
        assert "id" in say(sender, "kept part", b"2")["response"]
        assert [heard(listener)[0] for _ in range(2)] == [{"text": "a\0b"}, 2]
    assert len(rows(dsn, "kept part")) == 1


@pytest.mark.parametrize(
    ("query", "ttl"), [("&persist=true", None), ("&persist[ttl]=60", 60), ("&persist%5Bttl%5D=60", 60)]
)
def test_over_http(served: RealtimeServer, dsn: str, query: str, ttl: int | None) -> None:
    topic = f"kept {query.strip('&').replace('%', '')}"
    path = topic.replace(" ", "%20").replace("[", "%5B").replace("]", "%5D")
    with member(served, topic) as listener:
        answer = post(served, path, query, b'{"n": 1}')
        id_ = answer.json["id"]
        assert (answer.status, heard(listener)) == (202, ({"n": 1}, {"id": id_}))
    assert rows(dsn, topic) == [("e", {"n": 1}, None, True, "broadcast", True, True, ttl)]


def test_over_http_bytes_are_kept_too(served: RealtimeServer, dsn: str) -> None:
    assert post(served, "kept%20raw", "&persist=true", b"\x00", content_type="application/octet-stream").status == 202
    assert [row[2] for row in rows(dsn, "kept raw")] == [b"\x00"]


def test_over_http_whoever_may_not_have_it_kept_may_still_send_it(served: RealtimeServer, dsn: str) -> None:
    with member(served, "another") as listener:
        answer = post(served, "another", "&persist=true")
        assert (answer.status, answer.body, heard(listener)) == (202, b"", (1, None))
    assert rows(dsn, "another") == []


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("&persist=1", "is invalid"),
        ("&persist[ttl]=0", "is invalid"),
        ("&private=false&persist=true", "is for private"),
    ],
)
def test_over_http_an_odd_wish_is_refused(served: RealtimeServer, query: str, complaint: str) -> None:
    answer = post(served, "kept", query)
    assert (answer.status, list(answer.json["errors"])) == (422, ["persist"])
    assert answer.json["errors"]["persist"][0].startswith(complaint)


@pytest.mark.timeout(60)
def test_while_messages_pour_in_none_is_lost_and_none_comes_twice(served: RealtimeServer) -> None:
    """Many join in the middle of it: each hears an unbroken row of numbers from the first that it was replayed."""
    stop = threading.Event()

    def pour() -> None:
        with served.connect(apikey=token("authenticated")) as client:
            client.join("realtime:kept busy", private=True)
            number = 0
            while not stop.is_set():
                client.broadcast("realtime:kept busy", "e", str(number).encode(), meta=KEEP, binary=False)
                number += 1
                time.sleep(0.001)  # the pace of the test, not a wait: both cores belong to everybody

    pouring = threading.Thread(target=pour)
    pouring.start()
    replayed = 0
    try:
        for _ in range(30):
            with member(served, "kept busy", replay=True) as client:
                told = [heard(client) for _ in range(60)]
                first = told[0][0]
                assert [number for number, _ in told] == list(range(first, first + 60))
                replayed += sum("replayed" in meta for _, meta in told)
    finally:
        stop.set()
        pouring.join()
    assert replayed > 100


def test_while_the_database_is_away_it_is_sent_and_not_kept(server: EmbeddedPostgres) -> None:
    with fresh_migrated_database(server) as dsn, proxied(dsn) as proxy:
        with realtime(proxy.dsn, slot="away") as served:
            service = token("service_role")
            with served.connect(apikey=service) as sender, served.connect(apikey=service) as listener:
                sender.join("realtime:kept", private=True, broadcast={"ack": True})
                listener.join("realtime:kept", private=True)
                assert "id" in say(sender, "kept")["response"]
                proxy.refuse()
                proxy.cut()
                assert say(sender, "kept", b"2") == OK
                proxy.accept()
                wait_until(lambda: "id" in say(sender, "kept", b"3")["response"])
                assert [heard(listener)[0] for _ in range(2)] == [1, 2]
        assert [row[1] for row in rows(dsn, "kept")] == [1, 3]


def keeping(number: int, topic: str = "t", event: str = "e", ttl_s: int | None = None) -> Keeping:
    return Keeping(topic, KeptBroadcast(str(uuid.uuid4()), event, str(number).encode(), binary=False), ttl_s)


async def test_a_batch_is_one_transaction_and_keeps_its_order(any_migrated_database: str) -> None:
    async with open_pool(any_migrated_database) as pool:
        source = PostgresKeptBroadcasts(pool)
        xid = await source.keep([keeping(number) for number in range(100)])  # nobody has opened the day
        with psycopg.connect(any_migrated_database) as connection:
            found = connection.execute("select payload::int, xmin::text from realtime.messages order by inserted_at")
            assert found.fetchall() == [(number, str(xid)) for number in range(100)]
        kept = await source.read("t", since_ms=0, limit=25, most_bytes=2**20)
        assert [each.body for each in kept.broadcasts] == [str(number).encode() for number in range(75, 100)]
        assert kept.snapshot.sees(xid)
        with pytest.raises(PostgresError):
            await source.keep(
                [keeping(100), Keeping("t", KeptBroadcast(str(uuid.uuid4()), "e", b"{", binary=False), None)]
            )
        for odd in (keeping(1, topic="a\0"), keeping(1, event="\ud800")):
            with pytest.raises(PostgresError):
                await source.keep([odd])
        assert len(rows(any_migrated_database, "t")) == 100


async def test_a_check_that_fails_is_no_missing_day(any_migrated_database: str) -> None:
    execute(any_migrated_database, "select realtime.tidewire_open_today()")
    execute(any_migrated_database, "alter table realtime.messages add constraint short check (length(event) < 5)")
    async with open_pool(any_migrated_database) as pool:
        with pytest.raises(PostgresError) as caught:
            await PostgresKeptBroadcasts(pool).keep([keeping(1, event="a secret event")])
    assert "secret" not in str(caught.value)
    assert not isinstance(caught.value.__cause__, psycopg.Error)
