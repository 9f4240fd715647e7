"""A client that reads too slowly: what it is spared, what it is told once it reads again, and when it is sent away."""

from typing import Any

from tests.support.client import Client, Said
from tests.support.node import ROOM, Make, broadcast, joined, settle, until
from tidewire.hub.connection import TOO_SLOW, TRY_AGAIN_LATER
from tidewire.hub.gate import NodeLimits
from tidewire.model.reasons import broadcasts_dropped

DROPPING = NodeLimits(outbox_bytes=1000, drops_broadcasts=True)
CLOSING = NodeLimits(outbox_bytes=1000)


def numbers(said: list[Said]) -> list[int]:
    return [payload["payload"]["n"] for event, _, payload in said if event == "broadcast"]


def slow_down(client: Client, waiting_bytes: int) -> None:
    client.connection.on_pause()
    client.outbox.waiting_bytes = waiting_bytes


def read_again(client: Client) -> list[Said]:
    client.outbox.waiting_bytes = 0
    client.connection.on_resume()
    return client.heard()


async def tracked(client: Client, key: str) -> None:
    client.push(ROOM, "presence", {"type": "presence", "event": "track", "payload": {"as": key}})
    await settle()


async def test_the_oldest_broadcasts_are_dropped_and_the_client_is_told_how_many(make_node: Make) -> None:
    node = make_node(limits=DROPPING)
    slow, sender = await joined(node), await joined(node)
    slow_down(slow, 501)
    for number in range(100):
        sender.push(ROOM, "broadcast", broadcast(number))
    assert (slow.heard(), slow.outbox.closed) == ([], None)
    told, *kept = read_again(slow)
    missed = 100 - len(kept)
    assert 0 < len(kept) < 100
    assert numbers(kept) == list(range(missed, 100))
    assert told == (
        "system",
        ROOM,
        {"channel": "room", "extension": "broadcast", "message": broadcasts_dropped(missed), "status": "error"},
    )
    assert node.figures().counts["broadcasts_dropped"] == missed
    sender.push(ROOM, "broadcast", broadcast(100))
    assert numbers(slow.heard()) == [100]


async def test_a_client_that_was_slow_for_a_moment_loses_nothing(make_node: Make) -> None:
    node = make_node(limits=DROPPING)
    slow, sender = await joined(node), await joined(node)
    slow_down(slow, 500)
    sender.push(ROOM, "broadcast", broadcast(1))
    assert numbers(slow.heard()) == [1]
    slow.outbox.waiting_bytes = 501
    sender.push(ROOM, "broadcast", broadcast(2))
    slow.outbox.waiting_bytes = 0
    sender.push(ROOM, "broadcast", broadcast(3))  # not before the one that is held
    assert slow.heard() == []
    assert numbers(read_again(slow)) == [2, 3]


async def test_a_pause_while_what_was_held_is_sent_keeps_the_order(make_node: Make) -> None:
    node = make_node(limits=DROPPING)
    slow, sender = await joined(node), await joined(node)
    slow_down(slow, 501)
    sender.push(ROOM, "broadcast", broadcast(1))
    sender.push(ROOM, "broadcast", broadcast(2))
    write, connection = slow.outbox.write, slow.connection

    def write_and_fill(packet: Any) -> None:
        write(packet)
        slow.outbox.write = write  # type: ignore[method-assign]
        slow_down(slow, 501)

    slow.outbox.write = write_and_fill  # type: ignore[method-assign]
    assert numbers(read_again(slow)) == [1]
    sender.push(ROOM, "broadcast", broadcast(3))
    assert connection is slow.connection
    assert numbers(read_again(slow)) == [2, 3]


async def test_what_cannot_be_dropped_ends_the_connection_of_a_client_that_never_reads(make_node: Make) -> None:
    node = make_node(limits=DROPPING)
    slow, sender = await joined(node), await joined(node)
    slow_down(slow, 1001)
    sender.push(ROOM, "broadcast", broadcast(1))
    assert "connections_slow" not in node.figures().counts
    slow.push("phoenix", "heartbeat", {})
    assert (slow.outbox.closed, slow.heard()) == ((TRY_AGAIN_LATER, TOO_SLOW), [])
    sender.push(ROOM, "broadcast", broadcast(2))
    slow.connection.on_resume()
    assert (slow.heard(), node.figures().counts["connections_slow"]) == ([], 1)


async def test_a_slow_watcher_gets_one_state_in_place_of_all_it_missed(make_node: Make) -> None:
    node = make_node(limits=CLOSING)
    slow, ada, bob = [await joined(node, presence={"enabled": True, "key": key}) for key in ("slow", "ada", "bob")]
    await tracked(bob, "bob")
    assert [event for event, _, _ in slow.heard()] == ["presence_diff"]
    slow_down(slow, 5000)
    for turn in range(3):
        await tracked(ada, f"ada {turn}")
        await until(lambda: any("ada" in payload.get("joins", ()) for _, _, payload in ada.heard()))
    bob.connection.on_closed(1001)
    await until(lambda: any("bob" in payload.get("leaves", ()) for _, _, payload in ada.heard()))
    assert (slow.heard(), slow.outbox.closed) == ([], None)
    ((event, topic, state),) = read_again(slow)
    assert (event, topic, list(state)) == ("presence_state", ROOM, ["ada"])
    assert [meta["as"] for meta in state["ada"]["metas"]] == ["ada 2"]
    ada.connection.on_closed(1001)
    await until(lambda: [event for event, _, _ in slow.heard()] == ["presence_diff"])


async def test_a_slow_watcher_that_missed_nothing_is_told_nothing(make_node: Make) -> None:
    node = make_node(limits=CLOSING)
    slow = await joined(node, presence={"enabled": True, "key": "slow"})
    slow.heard()
    slow_down(slow, 5000)
    assert read_again(slow) == []


async def test_a_channel_that_left_meanwhile_is_told_nothing(make_node: Make) -> None:
    node = make_node(limits=DROPPING)
    slow, sender = await joined(node), await joined(node)
    slow_down(slow, 501)
    for number in range(100):
        sender.push(ROOM, "broadcast", broadcast(number))
    slow.push(ROOM, "phx_leave", {})
    slow.heard()
    assert read_again(slow) == []


async def test_a_channel_that_joins_a_slow_connection_is_slow_too(make_node: Make) -> None:
    node = make_node(limits=DROPPING)
    slow, sender = await joined(node), await joined(node, topic="realtime:other")
    slow_down(slow, 501)
    slow.join("realtime:other")
    await settle()
    sender.push("realtime:other", "broadcast", broadcast(1))
    assert numbers(slow.heard()) == []
    assert numbers(read_again(slow)) == [1]
