"""What is written to a private channel waits for its verdict: in order, within bounds, and only while it is there."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.client import Client
from tests.support.tokens import NOW_S, SECRET, sign
from tidewire.hub.authorize import Authorizer
from tidewire.hub.guards import Guards
from tidewire.hub.node import Node
from tidewire.hub.permissions import Permissions
from tidewire.hub.private_writes import MOST_WAITING, MOST_WAITING_BYTES
from tidewire.hub.tasks import Tasks
from tidewire.model.errors import (
    DatabaseFull,
    DatabaseUnreachable,
    MissingPrivilege,
    PoolExhausted,
    QueryCanceled,
    TidewireError,
)
from tidewire.model.reasons import PARTITION_MISSING
from tidewire.ports import ChannelReads
from tidewire.testing.policies import ScriptedPolicies
from tidewire.testing.tables import OpenVisibility, ScriptedRules, ScriptedTables
from tidewire.wire.session_limits import SessionLimits

ROOM = "realtime:room"
OK = {"status": "ok", "response": {}}
QUIET = {"presence": {"enabled": False}}


class Scene:
    def __init__(self, tasks: Tasks) -> None:
        self.now_s = NOW_S
        self.policies = ScriptedPolicies()
        tables = ScriptedTables(roles=("authenticated",), bypassing=("service_role",))
        authorizer = Authorizer(clock=self.clock, secrets=(SECRET,))
        self.node = Node(
            permissions=Permissions(authorizer, tables, self.policies),
            tables=tables,
            guards=Guards(ScriptedRules()),
            visibility=OpenVisibility(),
            tasks=tasks,
            clock=self.clock,
            session_limits=SessionLimits(token_interval_s=0),
        )

    def clock(self) -> float:
        return self.now_s

    async def join(self, *, role: str = "authenticated", topic: str = ROOM, **config: Any) -> Client:
        client = Client(self.node, token=sign(role=role))
        client.join(topic, **{**QUIET, "private": True, **config})
        await settle()
        assert client.heard()[0][2]["status"] == "ok"
        return client

    async def join_holding(self, **config: Any) -> Client:
        """Join, and let verdicts wait from then on."""
        client = await self.join(**config)
        self.policies.writing.clear()
        self.policies.asked.clear()
        return client

    def topics_asked(self) -> list[str]:
        return [what for _, _, what in self.policies.asked]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Tasks(fail_together=False) as tasks:
        made = Scene(tasks)
        yield made
        made.node.close()


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def say(client: Client, number: int, body: str = "") -> str:
    return client.push(ROOM, "broadcast", {"type": "broadcast", "event": "e", "payload": {"n": number, "body": body}})


def track(client: Client, what: str = "track") -> str:
    return client.push(ROOM, "presence", {"type": "presence", "event": what, "payload": {}})


def numbers(client: Client) -> list[int]:
    return [payload["payload"]["n"] for event, _, payload in client.heard() if event == "broadcast"]


def answers(client: Client) -> list[Any]:
    return [payload for event, _, payload in client.heard() if event == "phx_reply"]


async def test_what_waits_is_sent_in_order_and_what_follows_goes_at_once(scene: Scene) -> None:
    listener = await scene.join(role="service_role")
    client = await scene.join_holding()
    for number in range(10):
        say(client, number)
    await settle()
    assert (numbers(listener), scene.topics_asked()) == ([], ["broadcast"])
    scene.policies.writing.set()
    await settle()
    assert numbers(listener) == list(range(10))
    say(client, 10)  # without a turn of the loop
    assert numbers(listener) == [10]


async def test_what_waits_for_a_refusal_reaches_nobody(scene: Scene) -> None:
    listener = await scene.join(role="service_role")
    client = await scene.join_holding(broadcast={"ack": True})
    scene.policies.refusals["broadcast"] = "unauthorized"
    for number in range(3):
        say(client, number)
    scene.policies.writing.set()
    await settle()
    say(client, 3)
    assert (numbers(listener), scene.topics_asked()) == ([], ["broadcast"])
    assert answers(client) == [{"status": "error", "response": {"error": "unauthorized"}}] * 4
    assert scene.node.figures().counts["writes_refused"] == 4


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PoolExhausted(), "increase_connection_pool"),
        (DatabaseFull(), "unable_to_connect_to_project"),
        (DatabaseUnreachable(), "unable_to_connect_to_project"),
        (QueryCanceled(), "query_canceled"),
        (MissingPrivilege(), "unable_to_set_policies"),
        ("missing_partition", "missing_partition"),
    ],
)
async def test_what_cannot_be_judged_now_is_refused_and_judged_again(scene: Scene, error: Any, code: str) -> None:
    client = await scene.join(broadcast={"ack": True})
    scene.policies.refusals["broadcast"] = error
    say(client, 1)
    await settle()
    assert answers(client) == [{"status": "error", "response": {"error": code}}]
    del scene.policies.refusals["broadcast"]
    say(client, 2)
    await settle()
    assert answers(client) == [OK]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PoolExhausted(), "IncreaseConnectionPool: Please increase your connection pool size"),
        (DatabaseUnreachable(), "UnableToConnectToProject: Realtime was unable to connect to the project database"),
        (QueryCanceled(), "QueryCanceled: Query was cancelled, please try again"),
        (PARTITION_MISSING, PARTITION_MISSING.join_text),
        (MissingPrivilege(), "Unknown Error on Channel"),
    ],
)
async def test_a_join_that_cannot_be_judged_is_refused_in_these_words(scene: Scene, error: Any, reason: str) -> None:
    scene.policies.reads = error
    client = Client(scene.node, token=sign())
    client.join(private=True)
    await settle()
    client.connection.tick(NOW_S + 1)
    assert answers(client) == [{"status": "error", "response": {"reason": reason}}]


async def test_an_error_that_nobody_thought_of_holds_up_nobody(scene: Scene) -> None:
    client = await scene.join(broadcast={"ack": True})
    scene.policies.refusals = None  # type: ignore[assignment]  # what is asked for an answer then breaks
    with capture_logs() as logs:
        say(client, 1)
        await settle()
    assert answers(client) == [{"status": "error", "response": {"error": "unable_to_set_policies"}}]
    assert [each["event"] for each in logs] == ["verdict_failed"]
    scene.policies.refusals = {}
    say(client, 2)
    await settle()
    assert answers(client) == [OK]


async def test_only_so_many_messages_wait(scene: Scene) -> None:
    listener = await scene.join(role="service_role")
    client = await scene.join_holding(broadcast={"ack": True})
    for number in range(MOST_WAITING + 5):
        say(client, number)
    assert answers(client) == [{"status": "error", "response": {"error": "increase_connection_pool"}}] * 5
    scene.policies.writing.set()
    await settle()
    assert numbers(listener) == list(range(MOST_WAITING))
    say(client, 0)
    assert answers(client) == [OK] * (MOST_WAITING + 1)


async def test_only_so_many_bytes_wait_but_one_large_message_may(scene: Scene) -> None:
    listener = await scene.join(role="service_role")
    client = await scene.join_holding()
    say(client, 1, "x" * MOST_WAITING_BYTES)
    say(client, 2)
    scene.policies.writing.set()
    await settle()
    assert numbers(listener) == [1]
    say(client, 3)
    assert numbers(listener) == [3]


async def test_what_waits_goes_with_its_channel(scene: Scene) -> None:
    listener = await scene.join(role="service_role", presence={"enabled": True})
    client = await scene.join_holding()
    listener.heard()
    say(client, 1)
    track(client)
    client.push(ROOM, "phx_leave", {})
    scene.policies.writing.set()
    await settle()
    assert (listener.heard(), scene.node.figures().presences) == ([], 0)
    client.join(private=True)
    await settle()
    scene.policies.writing.clear()
    for number in range(MOST_WAITING):  # nothing of the old channel uses up the bounds
        client.push(ROOM, "broadcast", {"event": "e", "payload": {"n": number}}, join_ref="4")
    scene.policies.writing.set()
    await settle()
    assert numbers(listener) == list(range(MOST_WAITING))


async def test_a_new_token_is_a_new_verdict_also_for_what_waits(scene: Scene) -> None:
    listener = await scene.join(role="service_role")
    client = await scene.join_holding(broadcast={"ack": True})
    say(client, 1)
    await settle()
    client.push(ROOM, "access_token", {"access_token": sign(sub="eve")})
    await settle()
    scene.policies.refusals["broadcast"] = "unauthorized"
    scene.policies.writing.set()
    await settle()
    assert [(who, what) for who, _, what in scene.policies.asked] == [
        ("ada", "broadcast"),
        ("eve", "read"),
        ("eve", "broadcast"),
    ]
    assert answers(client) == [{"status": "error", "response": {"error": "unauthorized"}}]
    del scene.policies.refusals["broadcast"]
    client.push(ROOM, "access_token", {"access_token": sign(sub="bob")})
    await settle()
    say(client, 2)
    await settle()
    assert (answers(client), numbers(listener)) == ([OK], [2])


async def test_an_untrack_waits_behind_its_track(scene: Scene) -> None:
    client = await scene.join_holding()
    track(client)
    track(client, "untrack")
    scene.policies.writing.set()
    await settle()
    assert (len(answers(client)), scene.node.figures().presences) == (2, 0)


async def test_broadcasts_and_presence_are_judged_apart(scene: Scene) -> None:
    client = await scene.join(presence={"enabled": True}, broadcast={"ack": True})
    scene.policies.refusals["presence"] = "unauthorized"
    scene.policies.asked.clear()
    say(client, 1)
    track(client)
    track(client)
    await settle()
    assert answers(client) == [OK, {"status": "error", "response": {}}, {"status": "error", "response": {}}]
    assert scene.topics_asked() == ["broadcast", "presence"]


async def test_a_track_turns_presence_on_only_for_those_who_may_see_it(scene: Scene) -> None:
    scene.policies.reads = ChannelReads(broadcasts=True, presence=False)
    other = await scene.join(role="service_role", presence={"enabled": True, "key": "other"})
    track(other)
    await settle()
    blind = await scene.join()
    track(blind)
    await settle()
    assert [event for event, _, _ in blind.heard()] == ["phx_reply"]
    scene.policies.reads = ChannelReads(broadcasts=True, presence=True)
    seeing = await scene.join()
    track(seeing)
    await settle()
    reply, state, *_ = seeing.heard()
    assert (reply[2], state[0], "other" in state[2]) == (OK, "presence_state", True)
    assert scene.topics_asked()[-1] == "read both"


async def test_while_nobody_can_say_who_may_see_presence_it_is_not_shown(scene: Scene) -> None:
    client = await scene.join()
    track(client)
    scene.policies.reads = DatabaseUnreachable()
    await settle()
    assert [event for event, _, _ in client.heard()] == ["phx_reply"]


async def test_public_channels_ask_nobody(scene: Scene) -> None:
    client = await scene.join(private=False, presence={"enabled": True}, broadcast={"ack": True})
    say(client, 1)
    track(client)
    assert (answers(client), scene.policies.asked) == ([OK, OK], [])


async def test_without_policies_private_channels_are_closed(scene: Scene) -> None:
    tables = ScriptedTables(roles=("authenticated",), bypassing=("service_role",))
    permissions = Permissions(Authorizer(clock=scene.clock, secrets=(SECRET,)), tables)
    bound, free = [await permissions.identify(sign(role=role)) for role in ("authenticated", "service_role")]
    assert await permissions.read(bound, "room", presence=True) == ChannelReads(broadcasts=False, presence=False)
    assert await permissions.write(bound, "room", "broadcast") == "unauthorized"
    assert await permissions.write(free, "room", "broadcast") is None
    with pytest.raises(TidewireError):
        await permissions.identify("no token")
