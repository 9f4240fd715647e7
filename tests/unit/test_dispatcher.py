"""Row changes on their way to clients: who gets which frame, when they are live, and what a change of mind does."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.tokens import NOW_S, SECRET, sign
from tidewire.hub.authorize import Authorizer
from tidewire.hub.fanout import TURN
from tidewire.hub.guards import Guards
from tidewire.hub.node import Node
from tidewire.hub.permissions import Permissions
from tidewire.hub.tasks import Tasks
from tidewire.match.candidates import Ask
from tidewire.match.sight import Sight
from tidewire.model.change import Change, Resync, Transaction
from tidewire.model.position import Lsn
from tidewire.model.relation import Column, PgType, Relation
from tidewire.testing.rows import deleted, inserted, truncated, updated
from tidewire.testing.tables import OpenVisibility, ScriptedRules, ScriptedTables, opaque_rule, open_rule

ROOM = "realtime:room"
INT, TEXT = PgType(23, "int4"), PgType(25, "text")
TODOS = Relation(
    1,
    "public",
    "todos",
    "full",
    (
        Column("id", INT, identity=True, primary=True),
        Column("title", TEXT, identity=True),
        Column("room", INT, identity=True),
    ),
)
NOTES = Relation(2, "public", "notes", "default", (Column("id", INT, identity=True, primary=True), Column("t", TEXT)))
COLUMNS = [{"name": "id", "type": "int4"}, {"name": "title", "type": "text"}, {"name": "room", "type": "int4"}]
SUBSCRIBED = {
    "channel": "room",
    "extension": "postgres_changes",
    "message": "Subscribed to PostgreSQL",
    "status": "ok",
}


class Log:
    """Transactions that the test commits, one after the other, as the pump would hand them over."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[Transaction | Resync] = asyncio.Queue()
        self.lsn = 100

    def commit(self, *changes: Change) -> None:
        self.lsn += 10
        numbered = tuple(
            Change(Lsn(self.lsn), place, each.operation, each.shape, each.data) for place, each in enumerate(changes)
        )
        self._items.put_nowait(Transaction(1, Lsn(self.lsn), 1_790_000_000_123_456, numbered, Lsn(self.lsn + 1)))

    def put(self, item: Transaction | Resync) -> None:
        self._items.put_nowait(item)

    async def __aiter__(self) -> AsyncIterator[Transaction | Resync]:
        while True:
            yield await self._items.get()


class PatientVisibility(OpenVisibility):
    """Waits for `go` before it answers."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()

    async def visible(self, asks: Sequence[Ask]) -> Sequence[Sight | None]:
        await self.go.wait()
        return await super().visible(asks)


class Scene:
    def __init__(self, tasks: Tasks) -> None:
        self.log = Log()
        self.visibility = PatientVisibility()
        self.rules = ScriptedRules()
        self.guards = Guards(self.rules)
        self.tables = ScriptedTables([TODOS, NOTES], roles=("authenticated",))
        permissions = Permissions(Authorizer(clock=lambda: NOW_S, secrets=(SECRET,)), self.tables)
        self.node = Node(
            permissions=permissions,
            tables=self.tables,
            guards=self.guards,
            visibility=self.visibility,
            tasks=tasks,
            clock=lambda: NOW_S,
        )
        self.node.is_live = True
        tasks.start(self.node.dispatch(self.log), name="dispatch")

    async def follow(self, *bindings: dict[str, Any], version: int = 2, topic: str = ROOM) -> tuple[Client, list[int]]:
        """Join with bindings; return the client, which has read the answer, and the ids that it was given."""
        client = Client(self.node, version=version)
        client.join(topic, postgres_changes=list(bindings), presence={"enabled": False})
        await settle()
        answer = client.heard()[0][2]
        assert answer["status"] == "ok"
        return client, [each["id"] for each in answer["response"]["postgres_changes"]]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Tasks(fail_together=False) as tasks:
        made = Scene(tasks)
        yield made
        made.node.close()


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def todo(**filters: Any) -> dict[str, Any]:
    return {"event": "*", "schema": "public", "table": "todos", **filters}


def changes(client: Client) -> list[tuple[str, Any, Any, list[int]]]:
    return [
        (payload["data"]["type"], payload["data"].get("record"), payload["data"].get("old_record"), payload["ids"])
        for event, _, payload in client.heard()
        if event == "postgres_changes"
    ]


async def test_every_kind_of_change_arrives_with_what_clients_know_of_it(scene: Scene) -> None:
    client, ids = await scene.follow(todo())
    scene.log.commit(inserted(TODOS, ("1", "milk", None)))
    await settle()
    assert client.heard() == [
        (
            "postgres_changes",
            ROOM,
            {
                "ids": ids,
                "data": {
                    "schema": "public",
                    "table": "todos",
                    "type": "INSERT",
                    "commit_timestamp": "2026-09-21T14:13:20.123Z",
                    "columns": COLUMNS,
                    "record": {"id": 1, "title": "milk", "room": None},
                    "errors": None,
                },
            },
        )
    ]
    scene.log.commit(
        updated(TODOS, ("1", "oats", "5"), ("1", "milk", None)), deleted(TODOS, ("1", "oats", "5")), truncated(TODOS)
    )
    await settle()
    row = {"id": 1, "title": "oats", "room": 5}
    assert changes(client) == [
        ("UPDATE", row, {"id": 1, "title": "milk", "room": None}, ids),
        ("DELETE", None, row, ids),
    ]


async def test_a_join_is_answered_once_changes_are_live_and_not_before(scene: Scene) -> None:
    scene.node.is_live = False
    client = Client(scene.node)
    client.join(postgres_changes=[todo()], presence={"enabled": False})
    await settle()
    assert client.heard() == []
    scene.node.is_live = True
    await settle()
    assert [event for event, _, _ in client.heard()] == ["phx_reply", "system"]


async def test_several_bindings_of_a_channel_share_a_frame_and_filters_choose(scene: Scene) -> None:
    client, ids = await scene.follow(todo(filter="room=eq.5"), todo(event="INSERT"), todo(filter="room=gt.8"))
    scene.log.commit(inserted(TODOS, ("1", "a", "5")), inserted(TODOS, ("2", "b", "9")))
    scene.log.commit(updated(TODOS, ("1", "c", "5"), ("1", "a", "5")))
    await settle()
    assert [each[3] for each in changes(client)] == [sorted(ids[:2]), sorted(ids[1:]), [ids[0]]]


async def test_select_narrows_and_privileges_narrow_further(scene: Scene) -> None:
    client, _ = await scene.follow(todo(select=["title", "room"]))
    scene.rules.rules["todos"] = open_rule("authenticated", TODOS, columns=("id", "title"))
    scene.guards.forget_all()
    scene.log.commit(inserted(TODOS, ("1", "a", "5")))
    await settle()
    assert changes(client)[0][1] == {"id": 1, "title": "a"}


async def test_what_may_not_be_seen_is_not_sent_and_errors_show_nothing_else(scene: Scene) -> None:
    client, ids = await scene.follow(todo())
    scene.rules.rules["todos"] = None
    scene.guards.forget_all()
    scene.log.commit(inserted(TODOS, ("1", "a", "5")))
    await settle()
    assert client.heard()[1:] == []
    scene.rules.rules["todos"] = open_rule("authenticated", TODOS, columns=("title",))
    scene.guards.forget_all()
    scene.log.commit(inserted(TODOS, ("2", "a", "5")))
    await settle()
    ((_, _, payload),) = client.heard()
    data = payload["data"]
    assert (payload["ids"], data["columns"], data["record"], data["errors"]) == (
        ids,
        [],
        {},
        ["Error 401: Unauthorized"],
    )


async def test_truncate_is_for_those_who_asked(scene: Scene) -> None:
    client, _ = await scene.follow(todo(truncate=True, filter="room=eq.1"))
    other, _ = await scene.follow(todo())
    scene.log.commit(truncated(TODOS))
    await settle()
    assert [each[:3] for each in changes(client)] == [("TRUNCATE", None, None)]
    assert changes(other) == []


async def test_clients_of_the_first_api_get_changes_by_their_names(scene: Scene) -> None:
    client = Client(scene.node, version=1)
    topic = "realtime:public:todos:room=eq.5"
    client.push(topic, "phx_join", {}, join_ref=None)
    await settle()
    scene.log.commit(inserted(TODOS, ("1", "a", "5")), inserted(TODOS, ("2", "a", "6")))
    await settle()
    heard = [each for each in client.heard() if each[0] == "INSERT"]
    assert [(where, payload["record"]["id"]) for _, where, payload in heard] == [(topic, 1)]


async def test_a_refused_binding_leaves_the_channel_and_the_others_alone(scene: Scene) -> None:
    client = Client(scene.node)
    client.join(postgres_changes=[todo(filter="nope=eq.1"), todo()], presence={"enabled": False})
    await settle()
    events = [(event, payload.get("status"), payload.get("message", "")) for event, _, payload in client.heard()]
    assert [event[:2] for event in events] == [("phx_reply", "ok"), ("system", "error"), ("system", "ok")]
    assert "invalid column for filter nope" in events[1][2]
    scene.log.commit(inserted(TODOS, ("1", "a", "5")))
    await settle()
    assert len(changes(client)) == 1


async def test_repeats_after_a_reconnection_are_dropped(scene: Scene) -> None:
    client, _ = await scene.follow(todo())
    scene.log.commit(inserted(TODOS, ("1", "a", "5")), inserted(TODOS, ("2", "a", "5")))
    scene.log.lsn -= 10
    scene.log.commit(
        inserted(TODOS, ("1", "a", "5")), inserted(TODOS, ("2", "a", "5")), inserted(TODOS, ("3", "a", "5"))
    )
    await settle()
    assert [record["id"] for _, record, _, _ in changes(client)] == [1, 2, 3]


async def test_who_follows_a_broken_history_has_to_join_again(scene: Scene) -> None:
    client, _ = await scene.follow(todo())
    bystander = Client(scene.node)
    bystander.join(ROOM)
    scene.log.commit(inserted(TODOS, ("1", "a", "5")))
    await settle()
    bystander.heard()
    scene.log.put(Resync("other", "the slot was lost"))
    await settle()
    assert [event for event, _, _ in client.heard()] == ["postgres_changes", "phx_error"]
    assert bystander.heard() == []


async def test_a_new_history_may_begin_at_a_lower_position(scene: Scene) -> None:
    await scene.follow(todo())
    scene.log.commit(inserted(TODOS, ("1", "a", "5")))
    scene.log.put(Resync("other", "the slot was lost"))
    await settle()
    client, _ = await scene.follow(todo())
    scene.log.lsn = 5
    scene.log.commit(inserted(TODOS, ("2", "a", "5")))
    await settle()
    assert [record["id"] for _, record, _, _ in changes(client)] == [2]


async def test_whoever_leaves_while_a_change_is_judged_gets_nothing(scene: Scene) -> None:
    scene.rules.rules["todos"] = opaque_rule("authenticated", TODOS)
    client, _ = await scene.follow(todo())
    other, _ = await scene.follow(todo())
    scene.visibility.go.clear()
    scene.log.commit(inserted(TODOS, ("1", "a", "5")))
    await settle()
    client.push(ROOM, "phx_leave", {})
    client.heard()
    scene.visibility.go.set()
    await settle()
    assert (client.heard(), len(changes(other))) == ([], 1)
    client.connection.on_closed(1000)
    other.connection.on_closed(1000)
    assert scene.node.figures().subscriptions == 0


async def test_a_filter_that_no_longer_fits_is_reported_and_the_others_go_on(scene: Scene) -> None:
    client, _ = await scene.follow(todo(filter="room=eq.5"), todo())
    narrower = Relation(1, "public", "todos", "full", TODOS.columns[:2])
    scene.log.commit(inserted(narrower, ("1", "a")))
    await settle()
    heard = client.heard()
    (told,) = [payload for event, _, payload in heard if event == "system" and payload["status"] == "error"]
    assert told["message"].startswith("The filter cannot be applied to public.todos as it is now")
    assert [event for event, _, _ in heard].count("postgres_changes") == 1
    assert scene.node.figures().subscriptions == 1


async def test_a_change_too_large_says_so_and_keeps_its_small_values(scene: Scene) -> None:
    client, _ = await scene.follow(todo())
    scene.log.commit(inserted(TODOS, ("1", "x" * 1_100_000, "5")))
    await settle()
    ((_, _, payload),) = [each for each in client.heard() if each[0] == "postgres_changes"]
    assert payload["data"]["errors"] == ["Error 413: Payload Too Large"]
    assert payload["data"]["record"] == {"id": 1, "room": 5}
    assert payload["data"]["columns"] == COLUMNS


async def test_both_versions_and_many_readers_share_what_can_be_shared(scene: Scene) -> None:
    readers = [(await scene.follow(todo(), version=version))[0] for version in (1, 2) for _ in range(3)]
    scene.log.commit(inserted(TODOS, ("1", "a", "5")))
    await settle()
    frames = [reader.outbox.packets[-1] for reader in readers]
    assert len({id(frame) for frame in frames}) == 2
    assert all(len(changes(reader)) == 1 for reader in readers)


async def test_a_renewed_token_replaces_what_is_followed_without_a_gap(scene: Scene) -> None:
    client, ids = await scene.follow(todo())
    client.push(ROOM, "access_token", {"access_token": sign(sub="other")})
    scene.log.commit(inserted(TODOS, ("1", "a", "5")))
    await settle()
    said = client.heard()
    assert [payload["ids"] for event, _, payload in said if event == "postgres_changes"] == [ids]
    assert scene.node.figures().subscriptions == 1
    assert SUBSCRIBED in [payload for event, _, payload in said if event == "system"]


async def test_a_damaged_row_costs_nobody_the_others(scene: Scene) -> None:
    client, _ = await scene.follow(todo())
    choosy, _ = await scene.follow(todo(filter="room=eq.5"))
    whole, damaged = inserted(TODOS, ("1", "a", "5")), inserted(TODOS, ("2", "a", "5"))
    broken = Change(damaged.lsn, 0, damaged.operation, damaged.shape, damaged.data[:-3])
    scene.log.commit(whole, broken, inserted(TODOS, ("3", "a", "5")))
    await settle()
    for reader in (client, choosy):
        assert [record["id"] for _, record, _, _ in changes(reader)] == [1, 3]


async def test_others_have_their_turn_while_many_changes_of_one_transaction_are_sent(scene: Scene) -> None:
    client, _ = await scene.follow(todo(filter="room=eq.5"))
    scene.log.commit(*(inserted(TODOS, (f"{number}", "a", "5")) for number in range(3 * TURN)))
    sent_in_a_turn = []
    for _ in range(50):
        await asyncio.sleep(0)
        sent_in_a_turn.append(len(changes(client)))
    assert sum(sent_in_a_turn) == 3 * TURN
    assert max(sent_in_a_turn) == TURN


async def test_a_client_that_joins_while_we_are_behind_gets_nothing_that_is_older(scene: Scene) -> None:
    early, _ = await scene.follow(todo())
    scene.tables.end = Lsn(120)
    late, _ = await scene.follow(todo())
    for number in range(1, 4):  # at 110, 120 and 130
        scene.log.commit(inserted(TODOS, (str(number), "a", "5")))
    await settle()
    assert [record["id"] for _, record, _, _ in changes(early)] == [1, 2, 3]
    assert [record["id"] for _, record, _, _ in changes(late)] == [2, 3]
    scene.tables.end = Lsn(999)  # a renewed token changes nothing about what is new to the channel
    late.push(ROOM, "access_token", {"access_token": sign(sub="other")})
    await settle()
    scene.log.commit(inserted(TODOS, ("4", "a", "5")))
    await settle()
    assert [record["id"] for _, record, _, _ in changes(late)] == [4]
