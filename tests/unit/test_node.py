"""A node and its clients, all in one process: what one of them does reaches the others, and nobody else."""

import asyncio
import json

import pytest

from tests.support.client import Client
from tests.support.node import ROOM, Clock, Make, broadcast, joined, settle
from tests.support.tokens import sign
from tidewire.hub.connection import TOO_SLOW, TRY_AGAIN_LATER
from tidewire.hub.gate import NodeLimits
from tidewire.hub.node import Node
from tidewire.model.reasons import RESTARTING, TOO_MANY_USERS
from tidewire.presence.roster import Roster
from tidewire.wire.message import Message
from tidewire.wire.session_limits import SessionLimits


async def test_a_broadcast_reaches_the_others_of_the_topic_in_either_version(node: Node) -> None:
    sender, new, old = await joined(node), await joined(node), await joined(node, version=1)
    elsewhere = await joined(node, topic="realtime:hall")
    sender.push(ROOM, "broadcast", broadcast(1))
    await settle()
    expected = [("broadcast", ROOM, broadcast(1))]
    assert (new.heard(), old.heard()) == (expected, expected)
    assert (sender.heard(), elsewhere.heard()) == ([], [])


async def test_a_sender_that_asks_for_it_hears_itself_and_is_answered(node: Node) -> None:
    client = await joined(node, broadcast={"self": True, "ack": True})
    client.push(ROOM, "broadcast", broadcast(1))
    assert client.heard() == [
        ("broadcast", ROOM, broadcast(1)),
        ("phx_reply", ROOM, {"status": "ok", "response": {}}),
    ]


async def test_private_and_public_channels_of_one_name_never_meet(node: Node) -> None:
    private = await joined(node, token=sign(role="service_role"), private=True)
    public = await joined(node)
    public.push(ROOM, "broadcast", broadcast(1))
    assert private.heard() == []
    node.publish(Message(ROOM, "broadcast", b'{"event":"e"}'), "room", private=True)
    assert [event for event, _, _ in private.heard()] == ["broadcast"]
    assert public.heard() == []


async def test_a_role_that_policies_bind_is_not_let_into_private_channels(node: Node, clock: Clock) -> None:
    client = Client(node)
    client.join(private=True)
    await settle()
    clock.now_s += 1
    client.connection.tick(clock.now_s)
    (answer,) = client.heard()
    assert answer[2]["response"]["reason"].startswith("Unauthorized: You do not have permissions to read")


async def test_whoever_leaves_hears_nothing_more_and_the_topic_is_forgotten(node: Node) -> None:
    client, other = await joined(node), await joined(node)
    client.push(ROOM, "phx_leave", {})
    assert [event for event, _, _ in client.heard()] == ["phx_reply", "phx_close"]
    other.push(ROOM, "broadcast", broadcast(1))
    assert client.heard() == []
    other.connection.on_closed(1001)
    figures = node.figures()
    assert (figures.connections, figures.channels, figures.topics) == (1, 0, 0)


async def test_presence_is_told_to_all_who_watch_and_newcomers_see_who_is_there(node: Node) -> None:
    watcher = await joined(node, presence={"enabled": True, "key": "w"})
    ada = await joined(node, presence={"enabled": True, "key": "ada"})
    ada.push(ROOM, "presence", {"type": "presence", "event": "track", "payload": {"at": "desk"}})
    await settle()
    ((event, _, diff),) = watcher.heard()
    (meta,) = diff["joins"]["ada"]["metas"]
    assert (event, meta["at"], diff["leaves"]) == ("presence_diff", "desk", {})
    newcomer = Client(node)
    newcomer.join(presence={"enabled": True})
    await settle()
    assert newcomer.heard()[1] == ("presence_state", ROOM, {"ada": {"metas": [meta]}})
    ada.connection.on_closed(1006)
    await asyncio.sleep(0.05)  # diffs that follow each other closely gather for this long at most
    assert watcher.heard()[-1][2] == {"joins": {}, "leaves": {"ada": {"metas": [meta]}}}
    assert node.figures().presences == 0


async def test_with_a_grace_time_a_reload_is_neither_a_leave_nor_a_join(make_node: Make) -> None:
    node = make_node(make_roster=lambda: Roster("n", grace_s=30))
    watcher = await joined(node, presence={"enabled": True})
    for _ in range(2):
        ada = await joined(node, presence={"enabled": True, "key": "ada"})
        ada.push(ROOM, "presence", {"type": "presence", "event": "track", "payload": {}})
        await settle()
        ada.connection.on_closed(1001)
    await settle()
    assert [event for event, _, _ in watcher.heard()] == ["presence_diff"]


async def test_a_slow_reader_is_told_to_come_back_and_the_others_go_on(make_node: Make) -> None:
    node = make_node(limits=NodeLimits(outbox_bytes=1000))
    slow, other, sender = await joined(node), await joined(node), await joined(node)
    slow.connection.on_pause()
    slow.outbox.waiting_bytes = 1000
    sender.push(ROOM, "broadcast", broadcast(1))
    assert (len(slow.heard()), slow.outbox.closed) == (1, None)
    slow.outbox.waiting_bytes = 1001
    sender.push(ROOM, "broadcast", broadcast(2))
    sender.push(ROOM, "broadcast", broadcast(3))
    assert (slow.heard(), slow.outbox.closed) == ([], (TRY_AGAIN_LATER, TOO_SLOW))
    assert len(other.heard()) == 3
    assert node.figures().counts["connections_slow"] == 1


async def test_a_reader_that_catches_up_is_written_to_freely_again(make_node: Make) -> None:
    node = make_node(limits=NodeLimits(outbox_bytes=1000))
    reader, sender = await joined(node), await joined(node)
    reader.connection.on_pause()
    reader.connection.on_resume()
    reader.outbox.waiting_bytes = 5000  # nobody looks
    sender.push(ROOM, "broadcast", broadcast(1))
    assert (len(reader.heard()), reader.outbox.closed) == (1, None)


async def test_deliveries_use_up_the_rate_and_own_messages_count_once(make_node: Make, clock: Clock) -> None:
    node = make_node(session_limits=SessionLimits(events_per_s=1))  # 60 in a minute
    sender, reader = await joined(node), await joined(node)
    for number in range(59):
        sender.push(ROOM, "broadcast", broadcast(number))
    clock.now_s += 1
    sender.connection.tick(clock.now_s)
    reader.connection.tick(clock.now_s)
    assert (len(reader.heard()), sender.heard()) == (59, [])
    sender.push(ROOM, "broadcast", broadcast(60))
    assert [event for event, _, _ in sender.heard()] == ["system", "phx_close"]
    reader.push(ROOM, "broadcast", broadcast(61))
    assert [payload.get("message") for _, _, payload in reader.heard()] == ["Too many messages per second", None]


async def test_more_than_allowed_may_not_connect(make_node: Make) -> None:
    node = make_node(limits=NodeLimits(connections=1))
    assert node.refuses() is None
    client = Client(node)
    assert node.refuses() == TOO_MANY_USERS
    client.connection.on_closed(1000)
    assert node.refuses() is None


async def test_draining_closes_everybody_and_lets_nobody_in(node: Node) -> None:
    clients = [await joined(node) for _ in range(5)]
    draining = asyncio.get_running_loop().create_task(node.drain(1.0))
    await asyncio.sleep(0)
    assert node.refuses() == RESTARTING
    async with asyncio.timeout(1):
        await asyncio.wait([draining], timeout=0.7)  # all waves are over after half of the second
    assert {client.outbox.closed for client in clients} == {(1012, "the server is restarting")}
    for client in clients:
        client.connection.on_closed(1012)
    await draining
    assert node.figures().connections == 0


async def test_draining_gives_up_on_those_who_do_not_go(node: Node) -> None:
    await joined(node)
    await node.drain(0.1)
    assert node.figures().connections == 1


async def test_a_frame_that_cannot_be_read_is_dropped_and_counted(node: Node) -> None:
    client = await joined(node)
    for frame in (b"{", b"[]", b'["1","2","t","e"]', b'"x"', b"[null,null,null,null,null]"):
        client.connection.on_text(frame)
    client.connection.on_binary(b"\x03\xff\xff")
    assert client.heard() == []
    assert node.figures().counts["messages_malformed"] == 6


async def test_an_error_in_answering_ends_the_channel_and_nothing_else(make_node: Make, clock: Clock) -> None:
    node = make_node()
    node.is_live = True
    node._services.subscriptions.judge = None  # type: ignore[method-assign, assignment]  # something nobody thought of
    client, other = Client(node), await joined(node)
    client.join(postgres_changes=[{"table": "todos"}])
    await settle()
    clock.now_s += 1
    client.connection.tick(clock.now_s)
    assert client.heard() == [
        ("phx_reply", ROOM, {"status": "error", "response": {"reason": "Unknown Error on Channel"}})
    ]
    other.push(ROOM, "heartbeat", {})
    assert (client.outbox.closed, other.outbox.closed) == (None, None)


async def test_every_presence_ref_is_another(node: Node) -> None:
    watcher = await joined(node, presence={"enabled": True})
    clients = [await joined(node, presence={"enabled": True, "key": str(n)}) for n in range(20)]
    for client in clients:
        client.push(ROOM, "presence", {"type": "presence", "event": "track", "payload": {}})
    await asyncio.sleep(0.05)
    refs = [
        meta["phx_ref"] for _, _, diff in watcher.heard() for entry in diff["joins"].values() for meta in entry["metas"]
    ]
    assert len(refs) == len(set(refs)) == 20


async def test_a_join_is_answered_by_the_version_of_its_connection(node: Node) -> None:
    client = Client(node, version=1)
    client.join(presence={"enabled": False})
    await settle()
    answer = json.loads(client.outbox.packets[0].data)
    assert list(answer) == ["topic", "event", "payload", "ref"]


HOSTILE = [
    'a","event":"phx_close',
    'a\\"]',
    "a\r\nSet-Cookie: x",
    "a\0b",
    "a\u2028b",
    "*",
    "..",
    "ä 🌊",
    "a" * 240,
    "realtime:a",
    " ",
]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", HOSTILE)
async def test_a_topic_may_be_called_anything_and_is_nothing_but_a_name(node: Node, name: str, version: int) -> None:
    topic = f"realtime:{name}"
    client, other = await joined(node, version=version, topic=topic), await joined(node, topic=topic)
    outsider = await joined(node, topic="realtime:a")
    other.push(topic, "broadcast", broadcast(1))
    other.push(topic, "broadcast", {"type": "broadcast", "event": name, "payload": {name: name}})
    other.push(topic, "presence", {"type": "presence", "event": "track", "payload": {name: name}})
    await settle()
    heard = client.heard()
    assert [(event, where) for event, where, _ in heard] == [
        ("broadcast", topic),
        ("broadcast", topic),
        ("presence_diff", topic),
    ]
    assert heard[1][2]["payload"] == {name: name}
    assert outsider.heard() == []
