"""Who was away and says where it stood is told what it missed, in order and once; or that it has to load again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.tokens import NOW_S, SECRET, sign
from tidewire.bus.memory import MemoryBus
from tidewire.hub import pump
from tidewire.hub.authorize import Authorizer
from tidewire.hub.catch_up import MOST_ROUNDS
from tidewire.hub.gate import NodeLimits
from tidewire.hub.guards import Guards
from tidewire.hub.history import OTHER_HISTORY, TOO_OLD, History
from tidewire.hub.node import Node
from tidewire.hub.permissions import Permissions
from tidewire.hub.tasks import Tasks
from tidewire.match.rule import Rule
from tidewire.match.subscription import Audience
from tidewire.model.change import Change, Resync, Row, Transaction
from tidewire.model.position import Lsn, StreamPosition, parse_position
from tidewire.model.relation import Column, PgType, Relation
from tidewire.ports import CHANGES
from tidewire.testing.rows import inserted
from tidewire.testing.tables import OpenVisibility, ScriptedRules, ScriptedTables, opaque_rule
from tidewire.wal.envelope import Era, encode
from tidewire.wire.session_limits import SessionLimits

ROOM = "realtime:room"
INT = PgType(23, "int4")
TODOS = Relation(
    1,
    "public",
    "todos",
    "full",
    (Column("id", INT, identity=True, primary=True), Column("room", INT, identity=True)),
)


NOTES = Relation(2, "public", "notes", "full", TODOS.columns[:1])


class GatedVisibility(OpenVisibility):
    """Once it `is_gated`, each question waits for a gate of its own."""

    def __init__(self) -> None:
        self.is_gated = False
        self.gates: list[asyncio.Event] = []

    async def seers(
        self, rule: Rule, relation: Relation, rows: Sequence[Row], audiences: Sequence[Audience]
    ) -> list[list[int]]:
        if self.is_gated:
            self.gates.append(gate := asyncio.Event())
            await gate.wait()
        return await super().seers(rule, relation, rows, audiences)


class Scene:
    """A node that follows a bus, on which the test commits."""

    def __init__(
        self,
        tasks: Tasks,
        *,
        history_bytes: int = 2**20,
        make_tables: Callable[[ScriptedTables], ScriptedTables] = lambda tables: tables,
    ) -> None:
        self.bus = MemoryBus(clock=lambda: 0.0, history_bytes=history_bytes)
        self.history = History(self.bus)
        self.tables = make_tables(ScriptedTables([TODOS, NOTES], roles=("authenticated",)))
        self.rules = ScriptedRules()
        self.visibility = GatedVisibility()
        self.node = Node(
            permissions=Permissions(Authorizer(clock=lambda: NOW_S, secrets=(SECRET,)), self.tables),
            tables=self.tables,
            guards=Guards(self.rules),
            visibility=self.visibility,
            history=self.history,
            tasks=tasks,
            clock=lambda: NOW_S,
            session_limits=SessionLimits(token_interval_s=0.0),
        )
        self.lsn = 100
        self.era = Era(1, "one")
        self.tables.end = Lsn(self.lsn)
        self.history.begin("one", Lsn(self.lsn), news_from=Lsn(self.lsn))
        self.node.is_live = True
        self.reads = asyncio.Event()
        self.reads.set()
        tasks.start(self._dispatch(), name="dispatch")

    async def _dispatch(self) -> None:
        async with aclosing(pump.transactions(self.bus, after=0, mark=self.history.mark)) as items:
            await self.node.dispatch(self._slowed(items))

    async def _slowed(self, items: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for item in items:
            await self.reads.wait()
            yield item

    async def commit(self, *ids: int, room: int = 5, table: Relation = TODOS) -> None:
        self.lsn += 10
        rows = [inserted(table, (str(each), str(room))[: len(table.columns)]) for each in ids]
        numbered = tuple(Change(Lsn(self.lsn), n, c.operation, c.shape, c.data) for n, c in enumerate(rows))
        transaction = Transaction(self.lsn, Lsn(self.lsn), 0, numbered, Lsn(self.lsn + 1))
        await self.bus.publish(CHANGES, encode(transaction), key=self.era.key(transaction))
        self.tables.end = Lsn(self.lsn + 1)

    async def join(self, *bindings: dict[str, Any]) -> tuple[Client, dict[str, Any]]:
        client = Client(self.node)
        client.join(ROOM, postgres_changes=list(bindings), presence={"enabled": False})
        for _ in range(50):
            await asyncio.sleep(0)
            if heard := client.heard():
                self.first = heard
                return client, heard[0][2]["response"]
        raise AssertionError("no answer to the join")


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Tasks(fail_together=False) as tasks:
        made = Scene(tasks)
        yield made
        made.node.close()
        await made.bus.close()


async def settle() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


async def hear(client: Client, heard: list[Any], changes: int) -> list[Any]:
    """Go on until so many changes were heard."""
    left = changes - len(ids(heard))
    async with asyncio.timeout(10):
        while left > 0:
            await asyncio.sleep(0)
            new = client.heard()
            left -= len(ids(new))
            heard = [*heard, *new] if new else heard
    return heard


def todo(**more: Any) -> dict[str, Any]:
    return {"event": "*", "schema": "public", "table": "todos", **more}


def told(heard: list[Any]) -> list[tuple[int, str]]:
    return [
        (payload["data"]["record"]["id"], payload["data"]["position"])
        for event, _, payload in heard
        if event == "postgres_changes"
    ]


def ids(heard: list[Any]) -> list[int]:
    return [id_ for id_, _ in told(heard)]


async def test_a_join_says_where_it_begins_and_every_change_where_it_is(scene: Scene) -> None:
    client, response = await scene.join(todo())
    assert response["position"] == "one.63.ffffffff"
    assert "recovered" not in response
    await scene.commit(1, 2)
    await settle()
    assert told(client.heard()) == [(1, "one.6e.0"), (2, "one.6e.1")]


async def test_what_was_missed_comes_in_order_and_once_and_then_what_is_new(scene: Scene) -> None:
    await scene.join(todo())
    for number in range(1, 400):
        await scene.commit(number)
    await settle()
    client, response = await scene.join(todo(after="one.6e.0"))
    assert (response["position"], response["recovered"]) == ("one.6e.0", True)
    heard = list(scene.first)
    await scene.commit(400)
    await settle()
    assert ids([*heard, *client.heard()]) == list(range(2, 401))


async def test_who_missed_little_does_not_wait_for_who_missed_much(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewire.hub.catch_up.NEAR", 100)
    for number in range(1, 2001):
        await scene.commit(number)
    await settle()
    far, _ = await scene.join(todo(after="one.6e.0"))
    heard = list(scene.first)
    near, _ = await scene.join(todo(after=f"one.{100 + 10 * 1950:x}.0"))
    assert ids(await hear(near, list(scene.first), 50)) == list(range(1951, 2001))
    heard += far.heard()
    assert len(ids(heard)) < 1500, "still on the way"
    assert ids(await hear(far, heard, 1999)) == list(range(2, 2001))


async def test_who_was_full_does_not_wait_for_those_who_are_told_all_of_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be full again soon, and each time everybody else would have to be done first."""
    monkeypatch.setattr("tidewire.hub.catch_up.NEAR", 100)
    scene.rules.rules["notes"] = opaque_rule("authenticated", NOTES)
    for number in range(1, 2001):
        await scene.commit(number)
    await scene.commit(1, table=NOTES)
    slow, _ = await scene.join(todo(after="one.6e.0"))
    slow.outbox.waiting_bytes = NodeLimits().outbox_bytes
    await settle()
    heard = scene.first + slow.heard()
    assert 0 < len(ids(heard)) < 1800
    scene.visibility.is_gated = True
    for number in range(1, MOST_ROUNDS + 1):
        await scene.join(todo(table="notes", after="one.6e.0"))
        while len(scene.visibility.gates) < number:  # noqa: ASYNC110 - a round that is under way says nothing
            await asyncio.sleep(0.01)
    slow.outbox.waiting_bytes = 0
    assert ids(await hear(slow, heard, 1999)) == list(range(2, 2001))
    for gate in scene.visibility.gates:
        gate.set()


async def test_a_place_within_a_transaction(scene: Scene) -> None:
    await scene.commit(1, 2, 3)
    await scene.commit(4)
    await settle()
    client, _ = await scene.join(todo(after="one.6e.1"))
    await settle()
    assert ids([*scene.first, *client.heard()]) == [3, 4]


async def test_a_node_that_is_behind_tells_nothing_twice(scene: Scene) -> None:
    await scene.commit(1)
    await settle()
    scene.reads.clear()
    await scene.commit(2)
    await scene.commit(3)
    client, _ = await scene.join(todo(after="one.6e.0"))
    await settle()
    heard = [*scene.first, *client.heard()]
    assert ids(heard) == [2, 3]
    scene.reads.set()
    await scene.commit(4)
    await settle()
    assert ids(client.heard()) == [4]


async def test_bindings_that_stood_in_different_places(scene: Scene) -> None:
    for number in (1, 2, 3):
        await scene.commit(number)
        await scene.commit(number + 10, room=6)
    await settle()
    client, _ = await scene.join(
        todo(filter="room=eq.5", after="one.6e.0"), todo(filter="room=eq.6", after="one.82.0"), todo(filter="id=eq.3")
    )
    await settle()
    assert sorted(ids([*scene.first, *client.heard()])) == [2, 3, 12, 13]
    await scene.commit(3)
    await settle()
    assert ids(client.heard()) == [3]


@pytest.mark.parametrize(
    ("after", "reason"),
    [("two.6e.0", OTHER_HISTORY), ("one.10.0", TOO_OLD), ("nonsense", "reading a position"), ("one.6e.0 ", "reading")],
)
async def test_who_cannot_go_on_is_told_so_and_hears_of_what_is_new(scene: Scene, after: str, reason: str) -> None:
    await scene.commit(1)
    await settle()
    client, response = await scene.join(todo(after=after))
    assert response["recovered"] is False
    assert response["reason"].startswith(reason)
    assert response["position"] == "one.6e.ffffffff"
    await scene.commit(2)
    await settle()
    assert ids([*scene.first, *client.heard()]) == [2]


async def test_what_is_not_kept_any_more() -> None:
    async with Tasks(fail_together=False) as tasks:
        scene = Scene(tasks, history_bytes=2000)
        for number in range(1, 50):
            await scene.commit(number)
        await settle()
        _, response = await scene.join(todo(after="one.6e.0"))
        assert (response["recovered"], response["reason"]) == (False, TOO_OLD)
        scene.node.close()
        await scene.bus.close()


async def test_a_new_history(scene: Scene) -> None:
    await scene.commit(1)
    await settle()
    scene.era = Era(2, "two")
    scene.lsn = 10
    await scene.bus.publish(CHANGES, encode(Resync("two", "the slot was lost")), key=scene.era.key())
    await scene.commit(2)
    await settle()
    _, response = await scene.join(todo(after="one.6e.0"))
    assert (response["recovered"], response["reason"]) == (False, OTHER_HISTORY)
    client, response = await scene.join(todo(after="two.14.0"))
    assert response["recovered"] is True
    await scene.commit(3)
    await settle()
    assert told([*scene.first, *client.heard()]) == [(3, "two.1e.0")]


async def test_rules_of_today_decide_about_the_past(scene: Scene) -> None:
    await scene.commit(1)
    await settle()
    scene.rules.rules["todos"] = None
    _, response = await scene.join(todo(after="one.64.0"))
    await settle()
    assert (response["recovered"], ids(scene.first)) == (True, [])


async def test_policies_that_only_postgres_can_judge(scene: Scene) -> None:
    scene.rules.rules["todos"] = opaque_rule("authenticated", TODOS)
    await scene.commit(1)
    await settle()
    client, _ = await scene.join(todo(after="one.64.0"))
    await settle()
    assert ids([*scene.first, *client.heard()]) == [1]


async def test_what_waits_for_an_answer_is_not_told_to_who_has_joined_again_and_hears_it_from_the_past(
    scene: Scene,
) -> None:
    scene.rules.rules["todos"] = opaque_rule("authenticated", TODOS)
    client, _ = await scene.join(todo())
    scene.visibility.is_gated = True
    await scene.commit(1)
    await settle()
    client.push(ROOM, "access_token", {"access_token": sign(exp=NOW_S + 99)})  # what waits is told to it all the same
    await settle()
    client.join(ROOM, postgres_changes=[todo(after="one.64.0")], presence={"enabled": False})
    await settle()
    of_the_present, of_the_past = scene.visibility.gates
    of_the_present.set()
    await settle()
    assert ids(client.heard()) == []
    of_the_past.set()
    await settle()
    assert ids(client.heard()) == [1]


async def test_a_channel_comes_on_while_others_wait_for_an_answer(scene: Scene) -> None:
    scene.rules.rules["todos"] = opaque_rule("authenticated", TODOS)
    waits, _ = await scene.join(todo())
    quiet, _ = await scene.join(todo(table="notes"))
    scene.visibility.is_gated = True
    await scene.commit(1)
    await settle()
    assert (come_on(waits), come_on(quiet)) == ("one.6d.ffffffff", "one.6e.ffffffff")
    scene.visibility.gates[0].set()
    await settle()
    assert (come_on(waits), come_on(quiet)) == ("one.6e.ffffffff", "one.6e.ffffffff")


async def test_a_channel_that_is_told_what_it_missed_says_how_far_it_has_come(scene: Scene) -> None:
    """Or a reader of a quiet table who is cut off again and again would begin at the same place each time."""
    for number in range(1, 1001):
        await scene.commit(number)
    await settle()
    client, _ = await scene.join(todo(after="one.6e.0"), todo(table="notes", after="one.6e.0"))
    heard = list(scene.first)
    positions: list[StreamPosition] = []
    while len(positions) < 3:
        await asyncio.sleep(0)
        heard += client.heard()
        if (position := come_on(client)) is not None:
            positions.append(parse_position(position))
            assert heard_up_to(heard, positions[-1])
    assert 110 < positions[0].lsn <= positions[1].lsn <= positions[2].lsn < 100 + 10 * 1000
    again = str(positions[-1])
    client, response = await scene.join(todo(after=again), todo(table="notes", after=again))
    assert response["recovered"] is True
    heard += await hear(client, list(scene.first), 1000 - (positions[-1].lsn - 100) // 10)
    assert ids(heard) == list(range(2, 1001))


def heard_up_to(heard: list[Any], position: StreamPosition) -> bool:
    """Tell whether everything up to a place was heard, and nothing behind it."""
    return ids(heard) == list(range(2, (position.lsn - 100) // 10 + 1))


def come_on(client: Client) -> str | None:
    """Send a heartbeat, and return up to where its answer says that the channel has been told everything."""
    client.heard()
    client.push("phoenix", "heartbeat", {})
    ((_, _, payload),) = client.heard()
    position: str | None = payload["response"].get("positions", {}).get(ROOM)
    return position


async def test_who_leaves_meanwhile_hears_nothing_more(scene: Scene) -> None:
    for number in range(1, 300):
        await scene.commit(number)
    await settle()
    client, _ = await scene.join(todo(after="one.6e.0"))
    client.push(ROOM, "phx_leave", {})
    await settle()
    client.heard()
    await scene.commit(1000)
    await settle()
    assert ids(client.heard()) == []
    assert scene.node.figures().subscriptions == 0


async def test_it_comes_to_the_present_while_something_commits_in_every_turn(scene: Scene) -> None:
    await scene.commit(1)
    over = asyncio.Event()

    async def write() -> None:
        number = 2
        while not over.is_set():
            await scene.commit(number)
            number += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        client, response = await scene.join(todo(after="one.63.ffffffff"))
        await settle()
        followed = scene.node.figures().subscriptions
        over.set()
    assert (response["recovered"], followed) == (True, 1)
    await settle()
    heard = ids([*scene.first, *client.heard()])
    assert heard == list(range(1, len(heard) + 1))
