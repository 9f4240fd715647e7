"""Broadcasts and presence over every transport, with many handles of one topic, and after a return."""

import itertools

import pytest

from tests.browser.conftest import Play
from tests.browser.narrow_network import NarrowNetwork
from tests.browser.players import Joined
from tests.parity.serving import TidewireServer

_numbers = itertools.count(1)


@pytest.fixture
def topic() -> str:
    return f"client-room:{next(_numbers)}"


@pytest.mark.parametrize("transport", ["websocket", "sse", "longpoll"])
def test_what_one_says_the_other_hears(transport: str, play: Play, tidewire: TidewireServer, topic: str) -> None:
    speaker = Joined(play(tidewire.port, transports=[transport]), topic, ack=True)
    hearer = Joined(play(tidewire.port, transports=[transport]), topic)
    speaker.ask("send", event="hi", payload={"tide": "≈"})
    heard = hearer.next("broadcast")
    assert (heard["event"], heard["payload"]) == ("hi", {"tide": "≈"})


@pytest.mark.parametrize("transport", ["websocket", "sse"])
def test_bytes_arrive_as_they_were_sent(transport: str, play: Play, tidewire: TidewireServer, topic: str) -> None:
    speaker = Joined(play(tidewire.port, transports=[transport]), topic, ack=True)
    hearer = Joined(play(tidewire.port, transports=[transport]), topic)
    speaker.ask("send", event="raw", payload={"$bytes": [0, 1, 254, 255]})
    assert hearer.next("broadcast")["payload"] == {"$bytes": [0, 1, 254, 255]}


def test_who_is_there_is_told_and_told_again_after_a_return(
    network: NarrowNetwork, play: Play, tidewire: TidewireServer, topic: str
) -> None:
    watcher = Joined(play(tidewire.port), topic, presenceKey="watcher")
    guest = Joined(play(network.port), topic, presenceKey="__proto__")  # a name like any other
    guest.ask("track", meta={"mood": "calm"})
    joined = watcher.next("join")
    assert (joined["key"], joined["presences"][0]["mood"]) == ("__proto__", "calm")
    network.cut()
    watcher.next("leave", lambda heard: heard["key"] == "__proto__")
    back = watcher.next("join", lambda heard: heard["key"] == "__proto__")
    assert back["presences"][0]["mood"] == "calm"


def test_a_message_waits_for_its_channel(
    network: NarrowNetwork, play: Play, tidewire: TidewireServer, topic: str
) -> None:
    hearer = Joined(play(tidewire.port), topic)
    speaker = Joined(play(network.port), topic, ack=True)
    network.cut()
    speaker.next("status", lambda heard: heard["state"] == "waiting")
    speaker.ask("send", event="late", payload=1)
    assert hearer.next("broadcast")["payload"] == 1


def test_handles_of_one_topic_share_a_channel(play: Play, tidewire: TidewireServer, topic: str) -> None:
    player = play(tidewire.port)
    one, other = Joined(player, topic, self=True), Joined(player, f"{topic}:other")
    player.ask("channel", name="second-handle", topic=topic, options={"self": True})
    assert player.status()["channels"]["wanted"] == 2
    one.ask("send", event="hi", payload={})
    one.next("broadcast")
    one.ask("leave")
    assert player.status()["channels"]["wanted"] == 2
    with pytest.raises(RuntimeError, match="ChannelOptionsDiffer"):
        player.ask("channel", name="third-handle", topic=topic, options={"self": False})
    other.ask("leave")
    player.wait_for_status(lambda status: status["channels"]["wanted"] == 1, "one channel less")
