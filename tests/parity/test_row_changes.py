"""Rows that change reach the callbacks that asked for them, with the records that upstream's documentation promises."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.parity.clients import JAVASCRIPT, Connect
from tests.parity.puppets import Channel
from tests.parity.tables import Database, Table

SUBSCRIBED = "Subscribed to PostgreSQL"
FILTERS = {
    "id=eq.2": {2},
    "id=neq.2": {1, 3, 4},
    "price=gt.10": {3},
    "price=lte.10": {1, 2},
    'title=in.(low,"with, comma")': {1, 4},
    "title=like.%i%": {2, 3, 4},
    "price=is.null": {4},
    "title=not.in.(low,mid)": {3, 4},
    "price=gte.10,done=is.true": {2},
    'title=eq."with, comma"': {4},
    "title=ilike.HIGH": {3},
    "title=match.^[lm]": {1, 2},
    "price=isdistinct.5": {2, 3, 4},
}


def subscribe(connect: Connect, topic: str, *bindings: dict[str, Any], **config: Any) -> Channel:
    """Join with these bindings and wait until the server says that they are live."""
    channel = connect().channel(topic, changes=bindings, config=config)
    channel.subscribe()
    assert channel.system() == SUBSCRIBED
    return channel


def change(channel: Channel) -> dict[str, Any]:
    """Return the next change that any callback was given."""
    payload: dict[str, Any] = channel.next("change")["payload"]
    return payload


def short(payload: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    return payload["eventType"], payload["new"], payload["old"]


def test_inserts_updates_and_deletes(connect: Connect, topic: str, todos: Table) -> None:
    channel = subscribe(connect, topic, todos.binding())
    todos.insert(id=1, title="tide ≈ 2 m")
    todos.update(1, done=True)
    todos.delete(1)
    row = {"id": 1, "title": "tide ≈ 2 m", "done": None, "price": None, "body": None}
    first = change(channel)
    assert short(first) == ("INSERT", row, {})
    assert (first["schema"], first["table"], first["errors"]) == (todos.schema, todos.name, None)
    assert short(change(channel)) == ("UPDATE", {**row, "done": True}, {"id": 1})
    assert short(change(channel)) == ("DELETE", {}, {"id": 1})


def test_a_change_tells_when_it_was_committed(connect: Connect, topic: str, todos: Table) -> None:
    channel = subscribe(connect, topic, todos.binding())
    todos.insert(id=1)
    said = change(channel)["commit_timestamp"]
    assert said.endswith("Z")
    assert abs(datetime.fromisoformat(said) - datetime.now(UTC)) < timedelta(seconds=10)


def test_whole_old_records_under_a_full_identity(connect: Connect, topic: str, database: Database) -> None:
    with database.table("title text", full=True) as notes:
        channel = subscribe(connect, topic, notes.binding())
        notes.insert(id=1, title="a")
        notes.update(1, title="b")
        notes.delete(1)
        assert short(change(channel)) == ("INSERT", {"id": 1, "title": "a"}, {})
        assert short(change(channel)) == ("UPDATE", {"id": 1, "title": "b"}, {"id": 1, "title": "a"})
        assert short(change(channel)) == ("DELETE", {}, {"id": 1, "title": "b"})


def test_a_changed_key_is_told_with_the_old_one(connect: Connect, topic: str, todos: Table) -> None:
    channel = subscribe(connect, topic, todos.binding("UPDATE"))
    todos.insert(id=1, title="moves")
    todos.update(1, id=2)
    event, new, old = short(change(channel))
    assert (event, new["id"], old) == ("UPDATE", 2, {"id": 1})


def test_filters_and_callbacks_of_one_channel(connect: Connect, topic: str, todos: Table) -> None:
    everything = todos.binding("INSERT")
    channel = subscribe(connect, topic, *(todos.binding("INSERT", filter=text) for text in FILTERS), everything)
    todos.insert(id=1, title="low", price=5, done=False)
    todos.insert(id=2, title="mid", price=10, done=True)
    todos.insert(id=3, title="high", price=99, done=False)
    todos.insert(id=4, title="with, comma", price=None)
    channel.find("change", "the last row", lambda heard: _seen(heard) == (len(FILTERS), 4))
    heard = [_seen(message) for message in channel.unheard("change")]
    for index, (text, expected) in enumerate(FILTERS.items()):
        assert {key for binding, key in heard if binding == index} == expected, text
    assert len(heard) == len(set(heard)), "each callback is called once a row"


def _seen(heard: Any) -> tuple[int, int]:
    return heard["binding"], heard["payload"]["new"]["id"]


def test_callbacks_of_one_channel_by_event_and_table(
    connect: Connect, topic: str, todos: Table, database: Database
) -> None:
    with database.table("title text") as notes:
        channel = subscribe(
            connect, topic, todos.binding("INSERT"), todos.binding("DELETE"), notes.binding("UPDATE"), notes.binding()
        )
        todos.insert(id=1)
        todos.update(1, price=3)
        todos.delete(1)
        notes.insert(id=7, title="a")
        notes.update(7, title="b")
        heard = [channel.next("change") for _ in range(5)]
        assert [(message["binding"], message["payload"]["eventType"]) for message in heard] == [
            (0, "INSERT"),
            (1, "DELETE"),
            (3, "INSERT"),
            *[(index, "UPDATE") for index in (2, 3)],
        ]


def test_a_row_that_is_deleted_is_filtered_by_its_key(connect: Connect, topic: str, todos: Table) -> None:
    channel = subscribe(connect, topic, todos.binding("DELETE", filter="id=eq.2"))
    for key in (1, 2):
        todos.insert(id=key, title="x")
        todos.delete(key)
    assert short(change(channel)) == ("DELETE", {}, {"id": 2})


def test_only_the_selected_columns(connect: Connect, topic: str, todos: Table) -> None:
    channel = subscribe(connect, topic, todos.binding(select=["title"]))
    todos.insert(id=1, title="a", body="not asked for")
    todos.update(1, title="b")
    assert short(change(channel)) == ("INSERT", {"id": 1, "title": "a"}, {})
    assert short(change(channel)) == ("UPDATE", {"id": 1, "title": "b"}, {"id": 1})


def test_every_table_of_a_schema(connect: Connect, topic: str, database: Database) -> None:
    with (
        database.table("title text", schema="parity") as first,
        database.table("title text", schema="parity") as second,
        database.table("title text") as elsewhere,
    ):
        channel = subscribe(connect, topic, {"event": "*", "schema": "parity"})
        elsewhere.insert(id=1)
        first.insert(id=2)
        second.insert(id=3)
        heard = [change(channel) for _ in range(2)]
        assert [(payload["schema"], payload["table"], payload["new"]["id"]) for payload in heard] == [
            ("parity", first.name, 2),
            ("parity", second.name, 3),
        ]


def test_nothing_is_missed_after_subscribed(connect: Connect, topic: str, todos: Table) -> None:
    client = connect()
    for key in range(10):
        channel = client.channel(f"{topic}:{key}", changes=[todos.binding("INSERT", filter=f"id=eq.{key}")])
        channel.subscribe()  # SUBSCRIBED, and nothing else, is what users wait for
        todos.insert(id=key)
        assert change(channel)["new"]["id"] == key


def test_a_large_value_that_did_not_change_is_left_out(connect: Connect, topic: str, todos: Table) -> None:
    channel = subscribe(connect, topic, todos.binding("UPDATE"))
    large = "".join(chr(0x4E00 + (n * 7919) % 20000) for n in range(20_000))  # does not compress below a page
    todos.insert(id=1, title="a", body=large)
    todos.update(1, title="b")
    todos.update(1, body=large[::-1])
    assert "body" not in change(channel)["new"]
    assert change(channel)["new"]["body"] == large[::-1]


@pytest.mark.parametrize("kind", JAVASCRIPT)
def test_an_unknown_table_is_told_and_the_channel_stays(connect: Connect, topic: str, todos: Table) -> None:
    missing = {"event": "*", "schema": "public", "table": "no_such_table"}
    channel = connect().channel(topic, changes=[missing, todos.binding("INSERT")])
    channel.subscribe()
    complaint = channel.system("error")
    assert complaint.startswith("Unable to subscribe to changes with given parameters."), complaint
    assert "table: no_such_table" in complaint
    assert channel.system() == SUBSCRIBED
    todos.insert(id=1)
    assert channel.next("change")["binding"] == 1


@pytest.mark.parametrize("kind", ["pypi"])
def test_an_unknown_table_ends_the_python_clients_channel(connect: Connect, topic: str) -> None:
    """Every system message with status error does, in that client; it will join again and again."""
    channel = connect().channel(topic, changes=[{"event": "*", "schema": "public", "table": "no_such_table"}])
    channel.subscribe()
    assert "Unable to subscribe to changes with given parameters." in channel.status("CHANNEL_ERROR")


@pytest.mark.parametrize("kind", ["node-newest", "chromium"])
def test_whoever_waits_is_told_by_the_join(connect: Connect, topic: str, todos: Table) -> None:
    wait = {"postgres_changes_options": {"wait": True}}
    channel = subscribe(connect, topic, todos.binding("INSERT"), **wait)
    todos.insert(id=1)
    assert change(channel)["new"]["id"] == 1
    refused = connect().channel(f"{topic}:refused", changes=[todos.binding(filter="nope=eq.1")], config=wait)
    assert refused.subscribe(expect="CHANNEL_ERROR").startswith("RealtimeDisabledForConfiguration: ")
