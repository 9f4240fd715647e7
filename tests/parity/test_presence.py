"""Who is here: joins, leaves, changes, several places at once, and what late comers are told."""

from collections.abc import Sequence
from typing import Any

from tests.parity.clients import REMEMBERS_WHO_LEFT, Connect
from tests.parity.puppets import Channel, Client, Heard

State = dict[str, list[dict[str, Any]]]


def enter(client: Client, topic: str, key: str) -> Channel:
    """Join under a key, with all presence callbacks."""
    channel = client.channel(topic, presence=True, config={"presence": {"key": key}})
    channel.subscribe()
    return channel


def people(state: dict[str, Any]) -> State:
    """Leave out the references, which are the server's."""
    return {key: sorted((tracked(meta) for meta in metas), key=str) for key, metas in state.items()}


def tracked(meta: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in meta.items() if name != "presence_ref"}


def wait_for(channel: Channel, state: State) -> Heard:
    return channel.find("sync", f"everybody in {state}", lambda heard: people(heard["state"]) == state)


def test_joining_changing_and_leaving(connect: Connect, kind: str, topic: str) -> None:
    watcher = enter(connect(), topic, "watcher")
    ann = enter(connect(), topic, "ann")

    ann.ask("track", payload={"status": "here"})
    first = watcher.next("join", key="ann")["presences"]
    assert [tracked(meta) for meta in first] == [{"status": "here"}]
    assert isinstance(first[0]["presence_ref"], str)
    wait_for(watcher, {"ann": [{"status": "here"}]})

    ann.ask("track", payload={"status": "away", "since": 9})
    second = watcher.next("join", key="ann")["presences"]
    assert [tracked(meta) for meta in second] == [{"status": "away", "since": 9}]
    assert watcher.next("leave", key="ann")["presences"] == first, "the earlier state leaves as the same change"
    if kind not in REMEMBERS_WHO_LEFT:
        wait_for(watcher, {"ann": [{"status": "away", "since": 9}]})

    ann.ask("untrack")
    assert watcher.next("leave", key="ann")["presences"] == second
    if kind not in REMEMBERS_WHO_LEFT:
        wait_for(watcher, {})


def test_who_tracks_hears_of_it_too(connect: Connect, topic: str) -> None:
    ann = enter(connect(), topic, "ann")
    ann.ask("track", payload={"n": 1})
    assert ann.next("join", key="ann")["presences"][0]["n"] == 1
    wait_for(ann, {"ann": [{"n": 1}]})


def test_who_does_not_watch_can_be_seen(connect: Connect, topic: str) -> None:
    watcher = enter(connect(), topic, "watcher")
    unseeing = connect().channel(topic, config={"presence": {"key": "ann"}})
    unseeing.subscribe()
    unseeing.ask("track", payload={"n": 1})
    assert watcher.next("join", key="ann")["presences"][0]["n"] == 1


def test_late_comers_are_told_who_is_here(connect: Connect, topic: str) -> None:
    for name in ("ann", "bob"):
        channel = enter(connect(), topic, name)
        channel.ask("track", payload={"name": name})
        channel.next("join", key=name)
    late = enter(connect(), topic, "late")
    wait_for(late, {"ann": [{"name": "ann"}], "bob": [{"name": "bob"}]})


def test_one_person_in_two_places(connect: Connect, kind: str, topic: str) -> None:
    watcher = enter(connect(), topic, "watcher")
    phone, laptop = (enter(connect(), topic, "ann") for _ in range(2))
    phone.ask("track", payload={"at": "phone"})
    wait_for(watcher, {"ann": [{"at": "phone"}]})
    laptop.ask("track", payload={"at": "laptop"})
    wait_for(watcher, {"ann": [{"at": "laptop"}, {"at": "phone"}]})
    phone.ask("unsubscribe")
    assert tracked(watcher.next("leave", key="ann")["presences"][0]) == {"at": "phone"}
    if kind not in REMEMBERS_WHO_LEFT:
        wait_for(watcher, {"ann": [{"at": "laptop"}]})


def test_a_closed_connection_has_left(connect: Connect, topic: str) -> None:
    watcher = enter(connect(), topic, "watcher")
    leaving = connect()
    enter(leaving, topic, "ann").ask("track", payload={"n": 1})
    watcher.next("join", key="ann")
    leaving.disconnect()
    assert tracked(watcher.next("leave", key="ann")["presences"][0]) == {"n": 1}


def test_without_a_key_the_server_makes_one(connect: Connect, topic: str) -> None:
    channels = [enter(connect(), topic, "") for _ in range(2)]
    for number, channel in enumerate(channels):
        channel.ask("track", payload={"n": number})
    everybody = channels[0].find("sync", "two people", lambda heard: len(heard["state"]) == 2)["state"]
    assert all(everybody)
    assert sorted(metas[0]["n"] for metas in everybody.values()) == [0, 1]


def test_every_kind_of_client_sees_every_other(connect_any: Connect, everyone: Sequence[str], topic: str) -> None:
    channels = [(kind, enter(connect_any(kind), topic, kind)) for kind in everyone]
    for kind, channel in channels:
        channel.ask("track", payload={"name": kind})
    for _, channel in channels:
        wait_for(channel, {kind: [{"name": kind}] for kind in everyone})
