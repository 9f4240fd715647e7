"""Kept broadcasts and live ones meet: none is lost between them, and none is told twice."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.messages import MESSAGES
from tests.support.tokens import NOW_S, SECRET, sign
from tidewire.hub.authorize import Authorizer
from tidewire.hub.guards import Guards
from tidewire.hub.node import Node
from tidewire.hub.permissions import Permissions
from tidewire.hub.replays import MOST_COLLECTED, MOST_RECENT, MOST_RECENT_BYTES, NOTHING_KEPT, RECENT_S, Replays
from tidewire.hub.tasks import Tasks
from tidewire.model.change import Resync, Transaction
from tidewire.model.errors import QueryCanceled
from tidewire.model.position import Lsn
from tidewire.model.snapshot import Snapshot
from tidewire.ports import ChannelReads, KeptBroadcast
from tidewire.testing.policies import ScriptedKept, ScriptedPolicies
from tidewire.testing.rows import inserted
from tidewire.testing.tables import OpenVisibility, ScriptedRules, ScriptedTables
from tidewire.wire.message import UserBroadcast

ROOM = "realtime:room"


def kept(*ids: str, binary: bool = False) -> list[KeptBroadcast]:
    return [KeptBroadcast(id_, "e", b"\x00" if binary else b'"kept"', binary) for id_ in ids]


class Scene:
    def __init__(self, tasks: Tasks) -> None:
        self.log: asyncio.Queue[Transaction | Resync] = asyncio.Queue()
        self.lsn = 100
        self.kept = ScriptedKept({"room": kept("a", "b")}, snapshot=Snapshot(50, frozenset({45})), lsn=1000)
        self.policies = ScriptedPolicies()
        tables = ScriptedTables(roles=("authenticated",))
        self.now_s = NOW_S
        authorizer = Authorizer(clock=lambda: NOW_S, secrets=(SECRET,))
        self.node = Node(
            permissions=Permissions(authorizer, tables, self.policies),
            tables=tables,
            guards=Guards(ScriptedRules()),
            visibility=OpenVisibility(),
            kept=self.kept,
            tasks=tasks,
            clock=lambda: self.now_s,
        )
        self.node.is_live = True
        tasks.start(self.node.dispatch(self._items()), name="dispatch")

    async def _items(self) -> AsyncIterator[Transaction | Resync]:
        while True:
            yield await self.log.get()

    async def commit(
        self, *ids: str, xid: int = 50, lsn: int | None = None, topic: str = "room", private: str = "t"
    ) -> None:
        """Commit broadcasts with these ids, and wait until they are sent. Kept ones are of transactions below 50."""
        self.lsn = lsn or self.lsn + 1
        rows = tuple(
            inserted(MESSAGES, (topic, "broadcast", '"live"', "e", private, id_, None), lsn=self.lsn, index=index)
            for index, id_ in enumerate(ids)
        )
        self.log.put_nowait(Transaction(xid, Lsn(self.lsn), 0, rows, Lsn(self.lsn + 1)))
        await settle()

    async def join(self, *, version: int = 2, replay: Any = True, topic: str = ROOM, **config: Any) -> Client:
        """Ask to join with a replay; `heard` is the answer and what follows."""
        client = Client(self.node, version=version, token=sign())
        broadcast = {"replay": {"since": 0, "limit": 25}} if replay else {}
        client.join(topic, **{"private": True, "presence": {"enabled": False}, "broadcast": broadcast, **config})
        await settle()
        return client

    @property
    def remembered(self) -> int:
        return len(self.node._services.replays)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Tasks(fail_together=False) as tasks:
        made = Scene(tasks)
        yield made
        made.node.close()


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def told(client: Client) -> list[str]:
    """Return everything that was said, broadcasts by their id, with a star when they were replayed."""
    return [_tell(*said) for said in read(client)]


def read(client: Client) -> list[tuple[str, Any]]:
    packets, client.outbox.packets = client.outbox.packets, []
    found: list[tuple[str, Any]] = []
    for frame in packets:
        if frame.binary:
            _, topic, event, meta, _ = frame.data[:5]
            start = 5 + topic + event
            found.append(("broadcast", {"meta": json.loads(frame.data[start : start + meta])}))
        else:
            message = json.loads(frame.data)
            event_payload = (message["event"], message["payload"]) if client.version == 1 else (message[3], message[4])
            found.append(event_payload)
    return found


def _tell(event: str, payload: Any) -> str:
    if event != "broadcast":
        return event
    meta = payload["meta"]
    return f"{meta['id']}{'*' * bool(meta.get('replayed'))}"


async def test_kept_ones_come_after_the_answer_and_before_everything_live(scene: Scene) -> None:
    client = await scene.join(presence={"enabled": True})
    await scene.commit("c")
    assert told(client) == ["phx_reply", "a*", "b*", "presence_state", "c"]


async def test_a_live_copy_of_a_replayed_one_is_not_told_again_and_others_hear_it(scene: Scene) -> None:
    early = await scene.join(replay=False)
    late = await scene.join()
    await scene.commit("older", "a", xid=48)  # the first of them was more than was asked for
    await scene.commit("b", xid=49)
    await scene.commit("c", xid=45)  # was still running when the kept ones were read
    await scene.commit("d", xid=50)
    assert told(late) == ["phx_reply", "a*", "b*", "c", "d"]
    assert told(early) == ["phx_reply", "older", "a", "b", "c", "d"]


async def test_what_commits_while_the_kept_ones_are_read_is_told_behind_them(scene: Scene) -> None:
    scene.kept.go.clear()
    client = await scene.join()
    await scene.commit("b", xid=49)
    await scene.commit("c", "d")
    await scene.commit("elsewhere", topic="other")
    await scene.commit("public", private="f")
    assert told(client) == []
    scene.kept.go.set()
    await settle()
    assert told(client) == ["phx_reply", "a*", "b*", "c", "d"]
    await scene.commit("e")
    assert told(client) == ["e"]


async def test_what_the_log_brought_before_it_could_be_seen_is_told_too(scene: Scene) -> None:
    """A commit is in the log before other sessions see it; waiting for a synchronous standby makes that long."""
    await scene.commit("b", xid=49)
    await scene.commit("c", xid=45)
    await scene.commit("d", topic="other", xid=50)
    assert told(await scene.join()) == ["phx_reply", "a*", "b*", "c"]
    scene.now_s += RECENT_S + 1
    assert told(await scene.join()) == ["phx_reply", "a*", "b*"]


@pytest.mark.parametrize(("count", "size"), [(MOST_RECENT + 3, 0), (3, MOST_RECENT_BYTES // 2)])
def test_only_so_much_of_it_is_remembered(count: int, size: int) -> None:
    replays = Replays(lambda: 0.0)
    for number in range(count):
        replays.take("room", number, UserBroadcast("", str(number), b"x" * size, binary=False))
    with replays.collecting("room") as collector:
        remembered = [broadcast.event for broadcast in collector.missed(NOTHING_KEPT)]
    assert remembered == [str(number) for number in range(count)][-(2 if size else MOST_RECENT) :]


async def test_memory_lasts_until_the_log_has_passed(scene: Scene) -> None:
    await scene.join()
    assert scene.remembered == 1
    await scene.commit("c", lsn=999)
    assert scene.remembered == 1
    await scene.commit("d", lsn=1000)
    assert scene.remembered == 0


async def test_memory_ends_with_the_channel_and_with_the_history(scene: Scene) -> None:
    first, second = await scene.join(), await scene.join()
    assert scene.remembered == 2
    first.push(ROOM, "phx_leave", {})
    await settle()
    assert scene.remembered == 1
    scene.log.put_nowait(Resync("next", "lost"))
    await settle()
    assert scene.remembered == 0
    second.connection.on_closed(1000)
    await scene.commit("c")
    assert told(second) == ["phx_reply", "a*", "b*"]


async def test_a_client_that_leaves_while_they_are_read_is_forgotten(scene: Scene) -> None:
    scene.kept.go.clear()
    client = await scene.join()
    client.connection.on_closed(1000)
    scene.kept.go.set()
    await scene.commit("c")
    assert (scene.remembered, scene.node._services.replays._collectors, told(client)) == (0, {}, [])


@pytest.mark.parametrize("count", [MOST_COLLECTED - 1, MOST_COLLECTED])
async def test_a_join_that_would_collect_without_bounds_is_refused(scene: Scene, count: int) -> None:
    scene.kept.go.clear()
    client = await scene.join()
    await scene.commit(*(str(number) for number in range(count)))
    scene.kept.go.set()
    await settle()
    client.connection.tick(NOW_S + 1)
    (_, answer), *rest = read(client)
    if count < MOST_COLLECTED:
        assert (answer["status"], len(rest)) == ("ok", 2 + count)
    else:
        reason = "UnableToReplayMessages: Realtime was unable to replay messages"
        assert (answer["response"], rest) == ({"reason": reason}, [])


async def test_bytes_are_for_version_2_alone(scene: Scene) -> None:
    scene.kept.topics["room"] = [*kept("a", binary=True), *kept("b")]
    two, one = await scene.join(), await scene.join(version=1)
    assert told(two) == ["phx_reply", "a*", "b*"]
    assert told(one) == ["phx_reply", "b*"]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"private": False}, "Replay is not allowed for public channels"),
        ({"broadcast": {"replay": {"since": "x"}}}, "Replay params are not valid"),
        ({}, "Realtime was unable to replay messages"),
    ],
)
async def test_a_replay_that_cannot_be_had_refuses_the_join(scene: Scene, config: Any, reason: str) -> None:
    scene.kept.failure = QueryCanceled()
    client = await scene.join(**config)
    client.connection.tick(NOW_S + 1)
    (event, payload), *rest = read(client)
    assert (event, rest) == ("phx_reply", [])
    assert payload["response"]["reason"] == f"UnableToReplayMessages: {reason}"


async def test_whoever_may_only_see_presence_gets_no_replay(scene: Scene) -> None:
    scene.policies.reads = ChannelReads(broadcasts=False, presence=True)
    client = await scene.join(presence={"enabled": True})
    client.connection.tick(NOW_S + 1)
    (_, payload), *rest = read(client)
    assert (payload["status"], rest) == ("error", [])


async def test_replayed_messages_count_as_delivered_only_once(scene: Scene) -> None:
    client = await scene.join()
    topic, member = client.connection.inside(client.connection.members[ROOM][0]) or (None, None)
    assert topic is not None
    assert member is not None
    await scene.commit("a", xid=49)
    await scene.commit("c")
    assert topic.take_deliveries(member) == 1
