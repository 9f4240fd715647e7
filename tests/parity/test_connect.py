"""Clients connect, join, leave and come back; what the server does not accept is told to their callbacks."""

import pytest

from tests.parity.clients import ASCII_BROADCASTS, JAVASCRIPT, Connect
from tests.parity.serving import PUBLISHABLE_KEY, token
from tests.parity.tables import Table
from tests.support.tokens import OTHER_SECRET

REFUSED_LIMIT_S = 15.0


def test_a_client_joins_leaves_and_joins_again(connect: Connect, topic: str) -> None:
    client = connect()
    first = client.channel(topic, broadcast=["ping"], config={"broadcast": {"self": True}})
    first.subscribe()
    first.ask("unsubscribe")
    first.status("CLOSED")

    second = client.channel(topic, broadcast=["ping"], config={"broadcast": {"self": True}})
    second.subscribe()
    second.ask("send", event="ping", payload={"n": 1})
    assert second.next("broadcast")["payload"] == {"n": 1}
    assert not first.unheard("broadcast")


def test_one_client_has_many_channels(connect: Connect, kind: str, topic: str) -> None:
    client = connect()
    channels = [
        client.channel(f"{topic}:{name}", broadcast=["who"], config={"broadcast": {"self": True}})
        for name in ("plain", "with space", "a/b?c=d&e", "mit ü", "🌊")
    ]
    for channel in channels:
        channel.subscribe()
    if kind in ASCII_BROADCASTS:
        del channels[3:]
    for number, channel in enumerate(channels):
        channel.ask("send", event="who", payload={"n": number})
    assert [channel.next("broadcast")["payload"]["n"] for channel in channels] == list(range(len(channels)))
    assert not [heard for channel in channels for heard in channel.unheard("broadcast")]


def test_a_publishable_key_is_as_good_as_a_token(connect: Connect, topic: str) -> None:
    connect(key=PUBLISHABLE_KEY).channel(topic).subscribe()


@pytest.mark.parametrize("kind", JAVASCRIPT)
def test_the_older_version_of_the_protocol(connect: Connect, topic: str, todos: Table) -> None:
    config = {"broadcast": {"self": True, "ack": True}, "presence": {"key": "ann"}}
    channel = connect(vsn="1.0.0").channel(
        topic, broadcast=["ping"], presence=True, changes=[todos.binding()], config=config
    )
    channel.subscribe()
    assert channel.system() == "Subscribed to PostgreSQL"
    assert channel.ask("send", event="ping", payload={"text": "ö"}) == "ok"
    assert channel.next("broadcast")["payload"] == {"text": "ö"}
    assert channel.ask("track", payload={"n": 1}) == "ok"
    assert channel.next("join", key="ann")["presences"][0]["n"] == 1
    todos.insert(id=1)
    assert channel.next("change")["payload"]["new"]["id"] == 1


@pytest.mark.parametrize("kind", JAVASCRIPT)
def test_heartbeats_are_answered(connect: Connect, topic: str) -> None:
    client = connect(heartbeatIntervalMs=400)
    channel = client.channel(topic)
    channel.subscribe()
    assert [client.heartbeat() for _ in range(4)] == ["sent", "ok"] * 2
    assert not channel.unheard("status")


@pytest.mark.parametrize("kind", JAVASCRIPT)
def test_a_key_with_a_wrong_signature_does_not_connect(connect: Connect, topic: str) -> None:
    channel = connect(key=token(role="anon", secret=OTHER_SECRET)).channel(topic)
    channel.subscribe(expect="CHANNEL_ERROR", limit_s=REFUSED_LIMIT_S)


@pytest.mark.parametrize("kind", ["pypi"])
def test_a_key_with_a_wrong_signature_is_answered_with_401(connect: Connect, topic: str) -> None:
    channel = connect(key=token(role="anon", secret=OTHER_SECRET), max_retries=1).channel(topic)
    assert "401" in channel.subscribe(expect="CHANNEL_ERROR", limit_s=REFUSED_LIMIT_S)


def test_an_empty_topic_is_refused(connect: Connect) -> None:
    error = connect().channel("").subscribe(expect="CHANNEL_ERROR")
    assert "TopicNameRequired: You must provide a topic name" in error
