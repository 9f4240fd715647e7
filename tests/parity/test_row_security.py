"""Row-level security as users of the stock clients see it: their own rows, and no others."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.parity.clients import JAVASCRIPT, Connect
from tests.parity.puppets import Channel
from tests.parity.serving import token
from tests.parity.tables import Database, Table

ADA, BOB = "00000000-0000-4000-8000-00000000ada0", "00000000-0000-4000-8000-00000000b0b0"
SUBSCRIBED = "Subscribed to PostgreSQL"
LAST = 999
"""A row of everybody's: who was told of it has been told of everything before."""


@pytest.fixture(params=["owner = (select auth.uid())", "owner::text like auth.uid()::text"], ids=["compiled", "asked"])
def own_notes(database: Database, request: pytest.FixtureRequest) -> Iterator[Table]:
    """Return a table of which each user sees their own rows, by a policy that is compiled or asked about."""
    with database.table("owner uuid, title text", full=True) as made:
        name = f"{made.schema}.{made.name}"
        database.execute(f"alter table {name} enable row level security")
        database.execute(f"create policy own on {name} for select using ({request.param} or id = {LAST})")
        yield made


def subscribe(connect: Connect, topic: str, *bindings: dict[str, Any], sub: str) -> Channel:
    channel = connect(token=token(sub=sub)).channel(topic, changes=bindings)
    channel.subscribe()
    assert channel.system() == SUBSCRIBED
    return channel


def told(channel: Channel, notes: Table) -> list[tuple[str, Any, Any]]:
    """Return event, new and old row of every change that the callbacks were given so far."""
    notes.insert(id=LAST)
    notes.delete(LAST)
    heard: list[tuple[str, Any, Any]] = []
    while True:
        payload = channel.next("change")["payload"]
        assert payload["errors"] is None
        event = (payload["eventType"], payload["new"], payload["old"])
        if event == ("DELETE", {}, {"id": LAST}):
            return heard
        if payload["new"].get("id") != LAST:
            heard.append(event)


def row(key: int, owner: str, title: str) -> dict[str, Any]:
    return {"id": key, "owner": owner, "title": title}


def test_users_are_told_of_their_own_rows(connect: Connect, topic: str, own_notes: Table) -> None:
    ada, bob = (subscribe(connect, topic, own_notes.binding(), sub=sub) for sub in (ADA, BOB))
    own_notes.insert(**row(1, ADA, "a"))
    own_notes.insert(**row(2, BOB, "b"))
    own_notes.update(1, title="a2")
    own_notes.delete(2)
    assert told(ada, own_notes) == [
        ("INSERT", row(1, ADA, "a"), {}),
        ("UPDATE", row(1, ADA, "a2"), row(1, ADA, "a")),
    ]
    assert told(bob, own_notes) == [("INSERT", row(2, BOB, "b"), {}), ("DELETE", {}, {"id": 2})]


def test_a_row_that_changes_hands(connect: Connect, topic: str, own_notes: Table) -> None:
    """Whoever gets it is told of the update, without what it was; whoever loses it is told nothing."""
    ada, bob = (subscribe(connect, topic, own_notes.binding(), sub=sub) for sub in (ADA, BOB))
    own_notes.insert(**row(1, ADA, "of ada"))
    own_notes.update(1, owner=BOB, title="of bob")
    own_notes.delete(1)
    assert told(ada, own_notes) == [("INSERT", row(1, ADA, "of ada"), {})]
    assert told(bob, own_notes) == [("UPDATE", row(1, BOB, "of bob"), {"id": 1}), ("DELETE", {}, {"id": 1})]


@pytest.mark.parametrize("kind", JAVASCRIPT)
def test_moves_arrive_as_inserts_and_deletes(connect: Connect, topic: str, own_notes: Table) -> None:
    """These clients pass the wish on, and what comes back looks to them like any row that comes and goes."""
    ada, bob = (subscribe(connect, topic, own_notes.binding(moves=True), sub=sub) for sub in (ADA, BOB))
    own_notes.insert(**row(1, ADA, "a"))
    own_notes.update(1, owner=BOB)
    assert told(ada, own_notes) == [("INSERT", row(1, ADA, "a"), {}), ("DELETE", {}, {"id": 1})]
    assert told(bob, own_notes) == [("INSERT", row(1, BOB, "a"), {})]


def test_a_new_token_sees_with_its_own_eyes(connect: Connect, topic: str, own_notes: Table) -> None:
    client = connect(token=token(sub=ADA))
    channel = client.channel(topic, changes=[own_notes.binding("INSERT")])
    channel.subscribe()
    assert channel.system() == SUBSCRIBED
    own_notes.insert(**row(2, BOB, "b"))
    own_notes.insert(**row(1, ADA, "a"))
    assert channel.next("change")["payload"]["new"] == row(1, ADA, "a")
    client.set_auth(token(sub=BOB))
    assert channel.system() == SUBSCRIBED, "row changes are made live anew"
    own_notes.insert(**row(3, ADA, "a"))
    own_notes.insert(**row(4, BOB, "b"))
    assert channel.next("change")["payload"]["new"] == row(4, BOB, "b")
    own_notes.insert(id=LAST)
    assert channel.next("change")["payload"]["new"]["id"] == LAST, "and of nothing else"


def test_without_a_user_there_is_nothing_to_see(connect: Connect, topic: str, own_notes: Table) -> None:
    channel = connect().channel(topic, changes=[own_notes.binding()])
    channel.subscribe()
    assert channel.system() == SUBSCRIBED
    own_notes.insert(**row(1, ADA, "a"))
    own_notes.update(1, title="b")
    own_notes.delete(1)
    assert told(channel, own_notes) == []
