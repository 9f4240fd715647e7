"""Kept broadcasts of a private topic are told again to those who join: the newest, oldest first, and each once."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, SocketClient, realtime, token
from tests.support.tables import open_pool
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.kept_broadcasts import PostgresKeptBroadcasts

ENOUGH = 2**30


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        execute(
            made,
            """create policy "rooms" on realtime.messages for select to authenticated
               using (realtime.topic() like 'room%' and extension = 'broadcast')""",
            "select realtime.tidewire_open_today()",
        )
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn) as running:
        yield running


def join(served: RealtimeServer, topic: str, *, vsn: str = "2.0.0", **replay: Any) -> SocketClient:
    client = served.connect(vsn=vsn, apikey=token("authenticated"))
    client.join(f"realtime:{topic}", private=True, broadcast={"replay": replay})
    return client


def send(dsn: str, topic: str, *numbers: int) -> None:
    """Send numbers in one transaction."""
    with psycopg.connect(dsn) as connection:
        for number in numbers:
            connection.execute("select realtime.send(to_jsonb(%s::int), 'n', %s)", [number, topic])


def numbers(client: SocketClient, count: int) -> list[tuple[int, bool]]:
    """Return the bodies of the next broadcasts, and whether they were replayed."""
    payloads = [client.receive("broadcast")["payload"] for _ in range(count)]
    return [(payload["payload"], payload["meta"].get("replayed", False)) for payload in payloads]


@pytest.mark.parametrize("vsn", ["1.0.0", "2.0.0"])
def test_the_newest_come_oldest_first_and_then_what_is_live(served: RealtimeServer, dsn: str, vsn: str) -> None:
    topic = f"room newest {vsn}"
    send(dsn, topic, *range(30))
    with join(served, topic, vsn=vsn, limit=3) as client, join(served, topic, vsn=vsn) as greedy:
        send(dsn, topic, 30)
        assert numbers(client, 4) == [(27, True), (28, True), (29, True), (30, False)]
        assert numbers(greedy, 26) == [*((n, True) for n in range(5, 30)), (30, False)]


def test_only_what_was_kept_since_then(served: RealtimeServer, dsn: str) -> None:
    send(dsn, "room since", 1)
    with psycopg.connect(dsn) as connection:
        ((since_ms,),) = connection.execute(
            "select ceil(extract(epoch from clock_timestamp()) * 1000)::int8 from pg_sleep(0.002)"
        ).fetchall()
        connection.execute("select pg_sleep(0.005)")
    send(dsn, "room since", 2)
    with join(served, "room since", since=since_ms) as client, join(served, "room since", since=2**52) as late:
        send(dsn, "room since", 3)
        assert numbers(client, 2) == [(2, True), (3, False)]
        assert numbers(late, 1) == [(3, False)]


def test_bytes_come_as_bytes_and_to_version_2_alone(served: RealtimeServer, dsn: str) -> None:
    execute(dsn, r"select realtime.send_binary('\x00ff', 'bytes', 'room bytes')")
    send(dsn, "room bytes", 1)
    with join(served, "room bytes") as two, join(served, "room bytes", vsn="1.0.0") as one:
        first = two.receive("broadcast")["payload"]
        assert (first["payload"], first["meta"]["replayed"]) == (b"\x00\xff", True)
        assert numbers(two, 1) == numbers(one, 1) == [(1, True)]


def test_what_is_replayed_is_told_as_it_was_when_it_was_live(served: RealtimeServer, dsn: str) -> None:
    with join(served, "room same") as live:
        execute(dsn, """select realtime.send('{"n": 1.50, "ü": "é"}', 'e', 'room same')""")
        first = live.receive("broadcast")["payload"]
    with join(served, "room same") as late:
        again = late.receive("broadcast")["payload"]
    assert again["meta"].pop("replayed") is True
    assert again == first


def test_others_are_refused(served: RealtimeServer, dsn: str) -> None:
    send(dsn, "secret", 1)
    with served.connect(apikey=token("authenticated")) as client:
        for config, reason in (
            ({"private": True}, "Unauthorized: You do not have permissions to read from this Channel topic: secret"),
            ({"private": False}, "UnableToReplayMessages: Replay is not allowed for public channels"),
        ):
            client.push("realtime:secret", "phx_join", {"config": {**config, "broadcast": {"replay": {"since": 0}}}})
            assert client.receive("phx_reply")["payload"]["response"]["reason"] == reason


@pytest.mark.timeout(60)
def test_while_messages_pour_in_none_is_lost_and_none_comes_twice(served: RealtimeServer, dsn: str) -> None:
    """Many join in the middle of it: each hears an unbroken row of numbers from the first that it was replayed."""
    stop = threading.Event()

    def pour() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            number = 0
            while not stop.is_set():
                connection.execute("select realtime.send(to_jsonb(%s::int), 'n', 'room busy')", [number])
                number += 1
                time.sleep(0.001)  # the pace of the test, not a wait: both cores belong to everybody

    pouring = threading.Thread(target=pour)
    pouring.start()
    replayed = 0
    try:
        for _ in range(30):
            with join(served, "room busy", limit=10) as client:
                heard = numbers(client, 40)
                first = heard[0][0]
                assert [number for number, _ in heard] == list(range(first, first + 40))
                replayed += sum(again for _, again in heard)
    finally:
        stop.set()
        pouring.join()
    assert replayed > 100


async def test_what_is_kept_is_bounded_in_number_and_bytes(dsn: str) -> None:
    execute(
        dsn,
        *(f"select realtime.send(to_jsonb(repeat('{n}', 100)), 'e', 'sized')" for n in range(5)),
        "select realtime.send(to_jsonb(repeat('x', 1000)), 'e', 'sized')",
    )

    def told(kept: Any) -> list[str]:
        return [each.body.decode()[1] for each in kept.broadcasts]

    async with open_pool(dsn) as pool:
        source = PostgresKeptBroadcasts(pool, most_each_bytes=2000)
        assert told(await source.read("sized", since_ms=0, limit=25, most_bytes=ENOUGH)) == list("01234x")
        assert told(await source.read("sized", since_ms=0, limit=2, most_bytes=ENOUGH)) == list("4x")
        assert told(await source.read("sized", since_ms=0, limit=25, most_bytes=1250)) == list("34x")
        assert told(await source.read("sized", since_ms=0, limit=25, most_bytes=1)) == ["x"]
        small = PostgresKeptBroadcasts(pool, most_each_bytes=500)
        assert told(await small.read("sized", since_ms=0, limit=25, most_bytes=ENOUGH)) == list("01234")


async def test_only_private_broadcasts_that_have_not_expired_are_kept(any_migrated_database: str) -> None:
    execute(any_migrated_database, "select realtime.tidewire_open_today()")
    columns = "topic, extension, event, payload, private, expires_at, inserted_at"
    now = "(now() at time zone 'utc')"
    rows = {
        "kept": f"('t', 'broadcast', 'kept', '1', true, {now} + interval '1 hour', {now})",
        "expired": f"('t', 'broadcast', 'expired', '1', true, {now} - interval '1 hour', {now})",
        "public": f"('t', 'broadcast', 'public', '1', false, null, {now})",
        "presence": f"('t', 'presence', 'presence', '1', true, null, {now})",
        "other": f"('u', 'broadcast', 'other', '1', true, null, {now})",
        "future": f"('t', 'broadcast', 'future', '1', true, null, {now} + interval '2 minutes')",
        "nameless": f"('t', 'broadcast', null, '1', true, null, {now})",
        "empty": f"('t', 'broadcast', 'empty', null, true, null, {now})",
    }
    execute(
        any_migrated_database,
        *(f"insert into realtime.messages ({columns}) values {values}" for values in rows.values()),
    )
    async with open_pool(any_migrated_database) as pool:
        source = PostgresKeptBroadcasts(pool)
        kept = await source.read("t", since_ms=0, limit=25, most_bytes=ENOUGH)
        assert [(each.event, each.body) for each in kept.broadcasts] == [("kept", b"1"), ("empty", b"null")]
        assert kept.lsn > 0
        nothing = await source.read("a\0b", since_ms=8_640_000_000_000_000, limit=25, most_bytes=ENOUGH)
        assert nothing.broadcasts == (await source.read("v", since_ms=0, limit=1, most_bytes=1)).broadcasts == ()
