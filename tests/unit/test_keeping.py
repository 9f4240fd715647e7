"""Broadcasts that are to be kept: sent at once, stored in their order, answered by their id, and replayed once."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.client import Client
from tests.support.messages import COLUMNS, table
from tests.support.tokens import NOW_S, SECRET, sign
from tidewire.hub.authorize import Authorizer
from tidewire.hub.guards import Guards
from tidewire.hub.keeper import BATCH, BATCH_BYTES, MOST_WAITING
from tidewire.hub.node import Node
from tidewire.hub.permissions import Permissions
from tidewire.hub.replays import NothingKept
from tidewire.hub.tasks import Tasks
from tidewire.model.change import Resync, Transaction
from tidewire.model.errors import MissingPrivilege, PostgresError, QueryCanceled, TidewireError
from tidewire.model.position import Lsn
from tidewire.model.relation import Column, PgType
from tidewire.model.snapshot import Snapshot
from tidewire.ports import KeptBroadcast
from tidewire.testing.policies import ScriptedKept, ScriptedPolicies
from tidewire.testing.rows import inserted
from tidewire.testing.tables import OpenVisibility, ScriptedRules, ScriptedTables
from tidewire.wire.message import UserBroadcast
from tidewire.wire.requests import Persist

ROOM = "realtime:room"
KEEP = b'{"persist":true}'
TABLE = table(columns=(*COLUMNS, Column("skip_broadcast", PgType(16, "bool"))))


class Scene:
    def __init__(self, tasks: Tasks, *, keeps: bool = True) -> None:
        self.log: asyncio.Queue[Transaction | Resync] = asyncio.Queue()
        self.kept = ScriptedKept(snapshot=Snapshot(50), lsn=1000)
        self.policies = ScriptedPolicies()
        tables = ScriptedTables(roles=("authenticated",))
        self.node = Node(
            permissions=Permissions(Authorizer(clock=lambda: NOW_S, secrets=(SECRET,)), tables, self.policies),
            tables=tables,
            guards=Guards(ScriptedRules()),
            visibility=OpenVisibility(),
            kept=self.kept if keeps else NothingKept(),
            tasks=tasks,
            clock=lambda: NOW_S,
        )
        self.node.is_live = True
        tasks.start(self.node.dispatch(self._items()), name="dispatch")

    async def _items(self) -> AsyncIterator[Transaction | Resync]:
        while True:
            yield await self.log.get()

    async def join(self, *, ack: bool = True, replay: bool = False) -> Client:
        client = await self.ask_to_join(ack=ack, replay=replay)
        assert client.heard()[0][2]["status"] == "ok"
        return client

    async def ask_to_join(self, *, ack: bool = True, replay: bool = False) -> Client:
        client = Client(self.node, token=sign())
        broadcast = {"ack": ack} | ({"replay": {"since": 0, "limit": 25}} if replay else {})
        client.join(ROOM, private=True, presence={"enabled": False}, broadcast=broadcast)
        await settle()
        return client

    async def store_now(self, xid: int = 50) -> None:
        """Let what waits be stored, and have the log tell of it."""
        self.kept.keeping.set()
        await settle()
        rows = [
            inserted(
                TABLE, ("room", "broadcast", "1", each.broadcast.event, "t", each.broadcast.id, None, "t"), index=n
            )
            for n, each in enumerate(each for batch in self.kept.added for each in batch)
        ]
        self.log.put_nowait(Transaction(xid, Lsn(2000), 0, tuple(rows), Lsn(2001)))
        await settle()

    def stored(self) -> list[list[str]]:
        """Return the events of what was stored, by transaction."""
        return [[each.broadcast.event for each in batch] for batch in self.kept.added]

    def counts(self) -> dict[str, int]:
        return {name: count for name, count in self.node.figures().counts.items() if "kept" in name}


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    async with Tasks(fail_together=False) as made:
        yield made


@pytest.fixture
async def scene(tasks: Tasks) -> AsyncIterator[Scene]:
    made = Scene(tasks)
    yield made
    made.node.close()


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def say(client: Client, event: str, meta: bytes = KEEP, body: bytes = b"1") -> str:
    return client.broadcast(ROOM, event, body, meta=meta)


def broadcasts(client: Client) -> list[tuple[str, dict[str, Any]]]:
    """Return the broadcasts since it was asked, as event and metadata."""
    found = []
    for said, _, data in client.heard():
        if said == "binary":
            _, topic, event, meta, _ = data[:5]
            parts = data[5 + topic :]
            found.append((parts[:event].decode(), json.loads(parts[event : event + meta] or b"{}")))
    return found


def events(client: Client) -> list[str]:
    """Return the events of the broadcasts since it was asked, with a star when they were replayed."""
    return [event + "*" * bool(meta.get("replayed")) for event, meta in broadcasts(client)]


def answers(client: Client) -> list[Any]:
    return [payload for event, _, payload in client.heard() if event == "phx_reply"]


# --- sending and storing -----------------------------------------------------------------------------------


async def test_it_is_sent_at_once_and_acknowledged_when_it_is_stored(scene: Scene) -> None:
    sender, listener = await scene.join(), await scene.join()
    scene.kept.keeping.clear()
    say(sender, "e", b'{"persist":{"ttl":60}}', b'{"n":1.50}')
    await settle()
    ((event, meta),) = broadcasts(listener)
    assert (event, answers(sender)) == ("e", [])
    scene.kept.keeping.set()
    await settle()
    assert answers(sender) == [{"status": "ok", "response": {"id": meta["id"]}}]
    ((keeping,),) = scene.kept.added
    assert (keeping.topic, keeping.ttl_s) == ("room", 60)
    assert keeping.broadcast == KeptBroadcast(meta["id"], "e", b'{"n":1.50}', binary=False)
    assert scene.counts() == {"broadcasts_kept": 1}


async def test_what_is_not_to_be_kept_is_not(scene: Scene) -> None:
    sender, listener = await scene.join(), await scene.join()
    say(sender, "e", b"")
    await settle()
    assert (broadcasts(listener), answers(sender)) == ([("e", {})], [{"status": "ok", "response": {}}])
    assert (scene.stored(), [about for _, _, about in scene.policies.asked if about == "persistence"]) == ([], [])


async def test_whoever_may_not_have_it_kept_may_still_send_it(scene: Scene) -> None:
    scene.policies.refusals["persistence"] = "unauthorized"
    sender, listener = await scene.join(), await scene.join()
    for number in range(3):
        say(sender, str(number))
        say(sender, f"{number} too", b"")
    await settle()
    assert events(listener) == ["0", "0 too", "1", "1 too", "2", "2 too"]
    assert (answers(sender), scene.stored()) == ([{"status": "ok", "response": {}}] * 6, [])
    assert [about for _, _, about in scene.policies.asked if about == "persistence"] == ["persistence"]


async def test_whoever_may_not_send_it_is_not_asked_whether_it_may_be_kept(scene: Scene) -> None:
    scene.policies.refusals["broadcast"] = "unauthorized"
    sender, listener = await scene.join(), await scene.join()
    say(sender, "e")
    await settle()
    assert (events(listener), answers(sender)) == ([], [{"status": "error", "response": {"error": "unauthorized"}}])
    assert "persistence" not in [about for _, _, about in scene.policies.asked]


async def test_while_it_cannot_be_said_whether_it_may_be_kept_nothing_is_sent(scene: Scene) -> None:
    scene.policies.refusals["persistence"] = QueryCanceled()
    sender, listener = await scene.join(), await scene.join()
    say(sender, "refused")
    say(sender, "not to be kept", b"")
    await settle()
    assert events(listener) == ["not to be kept"]
    refused, sent = answers(sender)
    assert (refused["response"], sent["status"]) == ({"error": "query_canceled"}, "ok")
    del scene.policies.refusals["persistence"]
    say(sender, "kept")
    await settle()
    assert (events(listener), scene.stored()) == (["kept"], [["kept"]])


async def test_a_new_token_is_a_new_verdict(scene: Scene) -> None:
    scene.policies.refusals["persistence"] = "unauthorized"
    sender = await scene.join()
    say(sender, "before")
    await settle()
    del scene.policies.refusals["persistence"]
    sender.push(ROOM, "access_token", {"access_token": sign(exp=NOW_S + 7200)})
    sender.connection.tick(NOW_S)
    await settle()
    say(sender, "after")
    await settle()
    assert scene.stored() == [["after"]]


async def test_they_are_stored_in_their_order_and_in_batches(scene: Scene) -> None:
    one, two = await scene.join(ack=False), await scene.join(ack=False)
    scene.kept.keeping.clear()
    say(one, "first")
    await settle()
    sent = [f"{number} of {name}" for number in range(BATCH) for name in ("one", "two")]
    for event in sent:
        say(one if event.endswith("one") else two, event)
        await asyncio.sleep(0)
    scene.kept.keeping.set()
    await settle()
    assert scene.stored() == [["first"], sent[:BATCH], sent[BATCH:]]


async def test_a_batch_is_bounded_in_bytes_but_a_large_one_is_stored(scene: Scene) -> None:
    sender = await scene.join(ack=False)
    say(sender, "first")
    await settle()
    scene.kept.keeping.clear()
    large = b'"%b"' % (b"x" * BATCH_BYTES)
    for event, body in {"a": b"1", "b": b"1", "c": large, "d": b"1"}.items():
        say(sender, event, body=body)
    scene.kept.keeping.set()
    await settle()
    assert scene.stored() == [["first"], ["a", "b"], ["c"], ["d"]]


async def test_one_that_cannot_be_stored_does_not_take_others_with_it(scene: Scene) -> None:
    sender, listener = await scene.join(), await scene.join()
    scene.kept.refused["bad"] = PostgresError("a reason")
    scene.kept.keeping.clear()
    for event in ("first", "good", "bad", "better"):
        say(sender, event)
    await settle()
    with capture_logs() as logs:
        scene.kept.keeping.set()
        await settle()
    assert events(listener) == ["first", "good", "bad", "better"]
    assert [answer["status"] for answer in answers(sender)] == ["ok"] * 4
    assert [each for batch in scene.stored() for each in batch] == ["first", "good", "better"]
    assert scene.counts() == {"broadcasts_kept": 3, "broadcasts_not_kept": 1}
    assert [(line["event"], line["number"], line["reason"]) for line in logs] == [
        ("broadcasts_not_kept", 1, "a reason")
    ]


@pytest.mark.parametrize("failure", [QueryCanceled(), MissingPrivilege(), ValueError("a bug")])
async def test_a_database_that_is_away_is_not_asked_once_for_each(scene: Scene, failure: Exception) -> None:
    sender = await scene.join()
    scene.kept.refused["a"] = failure  # type: ignore[assignment]  # what must not happen is what is tried
    scene.kept.keeping.clear()
    say(sender, "0")
    await settle()
    for event in "abc":
        say(sender, event)
    with capture_logs() as logs:
        scene.kept.keeping.set()
        await settle()
    assert [line["number"] for line in logs] == [3]
    assert [bool(answer["response"]) for answer in answers(sender)] == [True, False, False, False]
    say(sender, "d")
    await settle()
    assert scene.stored() == [["0"], ["d"]]


async def test_a_database_that_keeps_nothing_says_so(tasks: Tasks) -> None:
    scene = Scene(tasks, keeps=False)
    sender, listener = await scene.join(), await scene.join()
    with capture_logs() as logs:
        say(sender, "e")
        await settle()
    assert (events(listener), answers(sender)) == (["e"], [{"status": "ok", "response": {}}])
    assert [line["code"] for line in logs] == ["PostgresError"]
    scene.node.close()


async def test_only_so_many_wait_to_be_stored(scene: Scene) -> None:
    sender, listener = await scene.join(ack=False), await scene.join()
    say(sender, "first")
    await settle()
    scene.kept.keeping.clear()
    say(sender, "being stored")
    await settle()
    for number in range(MOST_WAITING):
        say(sender, str(number))
    await settle()  # so many at once gather
    listener.heard()
    say(sender, "one too many")
    say(sender, "not to be kept", b"")
    assert events(listener) == ["not to be kept"]
    assert scene.node.refuses_to_keep
    scene.kept.keeping.set()
    await settle()
    assert sum(map(len, scene.kept.added)) == MOST_WAITING + 2


async def test_a_node_that_stops_stores_what_was_sent(scene: Scene) -> None:
    sender = await scene.join(ack=False)
    scene.kept.keeping.clear()
    say(sender, "e")
    await settle()
    sender.connection.on_closed(1000)
    draining = asyncio.ensure_future(scene.node.drain(5))  # noqa: TID251 - the test waits for it
    await settle()
    assert not draining.done()
    scene.kept.keeping.set()
    await draining
    assert scene.stored() == [["e"]]


async def test_over_http_it_is_sent_before_it_is_stored(scene: Scene) -> None:
    listener = await scene.join()
    scene.kept.keeping.clear()
    message = UserBroadcast(ROOM, "e", b"\x00", binary=True)
    given_up, waiting = (
        asyncio.ensure_future(scene.node.publish_and_keep(message, "room", Persist()))  # noqa: TID251 - as above
        for _ in range(2)
    )
    await settle()
    first, second = broadcasts(listener)
    given_up.cancel()
    scene.kept.keeping.set()
    assert await waiting == second[1]["id"]
    assert [each.broadcast.id for batch in scene.kept.added for each in batch] == [first[1]["id"], second[1]["id"]]


# --- replays -----------------------------------------------------------------------------------------------


async def test_the_log_does_not_tell_it_again(scene: Scene) -> None:
    sender, listener = await scene.join(), await scene.join()
    say(sender, "e")
    await scene.store_now()
    assert (events(listener), events(sender)) == (["e"], [])


async def test_who_joins_before_it_can_be_seen_is_told(scene: Scene) -> None:
    """It was sent before they were there and committed after their replay was read: only memory can tell them."""
    sender = await scene.join()
    scene.kept.keeping.clear()
    say(sender, "e")
    await settle()
    late = await scene.ask_to_join(replay=True)
    assert events(late) == ["e"]
    await scene.store_now()
    assert events(late) == []


async def test_who_reads_the_kept_ones_meanwhile_is_told_behind_them(scene: Scene) -> None:
    sender = await scene.join()
    scene.kept.topics["room"] = [KeptBroadcast("a", "old", b"1", binary=False)]
    scene.kept.go.clear()
    joining = await scene.ask_to_join(replay=True)
    scene.kept.keeping.clear()
    say(sender, "e")
    await settle()
    scene.kept.go.set()
    await settle()
    assert events(joining) == ["old*", "e"]
    await scene.store_now()
    assert events(joining) == []


@pytest.mark.parametrize("answered", [True, False], ids=["the database has answered", "its answer is on the way"])
async def test_who_is_replayed_it_is_not_told_twice(scene: Scene, answered: bool) -> None:  # noqa: FBT001 - a parameter
    sender, listener = await scene.join(), await scene.join()
    scene.kept.keeping.clear()
    say(sender, "e")
    await settle()
    ((_, meta),) = broadcasts(listener)
    if answered:
        scene.kept.keeping.set()
        await settle()
    scene.kept.topics["room"] = [KeptBroadcast(meta["id"], "e", b"1", binary=False)]
    scene.kept.snapshot = Snapshot(51)
    late = await scene.ask_to_join(replay=True)
    assert events(late) == ["e*"]
    await scene.store_now()
    assert events(late) == []


async def test_who_asks_for_less_is_not_told_what_is_older(scene: Scene) -> None:
    """It could be seen, and was left out because of what was asked for: it is no news."""
    sender = await scene.join()
    say(sender, "e")
    await scene.store_now()
    scene.kept.snapshot = Snapshot(51)
    assert events(await scene.ask_to_join(replay=True)) == []


async def test_what_could_not_be_stored_is_not_told_later(scene: Scene) -> None:
    failure: TidewireError = QueryCanceled()
    scene.kept.refused["e"] = failure
    sender = await scene.join()
    say(sender, "e")
    await settle()
    assert events(await scene.ask_to_join(replay=True)) == []
