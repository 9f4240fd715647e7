"""Messages from client to client, over sockets of both versions and over HTTP, as JSON and as bytes."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.parity.clients import JAVASCRIPT, Connect
from tests.parity.serving import token

PAYLOAD: dict[str, Any] = {
    "text": 'tide ≈ 2 m 🌊\u2028"\\',
    "numbers": [0, -1, 1.5, 9007199254740991, 1e-7],
    "deep": {"none": None, "yes": True, "list": [[], {}]},
}
BYTES = {"$bytes": "AAEC/f7/Cg0="}
"""What the puppets say for bytes 00 01 02 fd fe ff 0a 0d."""


def test_others_hear_it_and_the_sender_does_not(connect: Connect, topic: str) -> None:
    sender, other = (connect().channel(topic, broadcast=["said"]) for _ in range(2))
    sender.subscribe()
    other.subscribe()
    assert sender.ask("send", event="said", payload=PAYLOAD) == "ok"
    assert other.next("broadcast")["payload"] == PAYLOAD
    other.ask("send", event="said", payload={"answer": True})
    assert sender.next("broadcast")["payload"] == {"answer": True}, "its own message would have come first"
    assert not other.unheard("broadcast")


def test_the_sender_hears_itself_if_it_asked_to(connect: Connect, topic: str) -> None:
    channel = connect().channel(topic, broadcast=["said"], config={"broadcast": {"self": True}})
    channel.subscribe()
    channel.ask("send", event="said", payload=PAYLOAD)
    assert channel.next("broadcast")["payload"] == PAYLOAD


def test_a_message_is_acknowledged_if_the_sender_asked_for_it(connect: Connect, topic: str) -> None:
    channel = connect().channel(topic, config={"broadcast": {"ack": True}})
    channel.subscribe()
    assert channel.ask("send", event="said", payload=PAYLOAD) == "ok"


def test_callbacks_are_chosen_by_event(connect: Connect, topic: str) -> None:
    listening = connect().channel(topic, broadcast=["cursor", "*"])
    sender = connect().channel(topic)
    listening.subscribe()
    sender.subscribe()
    sender.ask("send", event="other", payload={"n": 1})
    sender.ask("send", event="cursor", payload={"n": 2})
    sender.ask("send", event="last", payload={"n": 3})
    listening.next("broadcast", event="last")
    heard = [(message["event"], message["payload"]["n"]) for message in listening.unheard("broadcast")]
    assert heard == [("other", 1), ("cursor", 2), ("cursor", 2)]


def test_messages_of_one_sender_keep_their_order(connect: Connect, topic: str) -> None:
    listening = connect().channel(topic, broadcast=["n"])
    sender = connect().channel(topic)
    listening.subscribe()
    sender.subscribe()
    for number in range(50):
        sender.ask("send", event="n", payload={"n": number})
    assert [listening.next("broadcast")["payload"]["n"] for _ in range(50)] == list(range(50))


def test_every_kind_of_client_hears_every_other(connect_any: Connect, everyone: Sequence[str], topic: str) -> None:
    channels = {kind: connect_any(kind).channel(topic, broadcast=list(everyone)) for kind in everyone}
    for channel in channels.values():
        channel.subscribe()
    for sender, channel in channels.items():
        channel.ask("send", event=sender, payload={**PAYLOAD, "from": sender})
    for listener, channel in channels.items():
        for sender in everyone:
            if sender != listener:
                assert channel.next("broadcast", event=sender)["payload"] == {**PAYLOAD, "from": sender}


@pytest.mark.parametrize("kind", JAVASCRIPT)
def test_bytes_reach_clients_that_can_take_them(connect: Connect, connect_any: Connect, topic: str) -> None:
    sender = connect().channel(topic)
    listening = connect_any("node-newest").channel(topic, broadcast=["*"])
    older = connect_any("pypi").channel(topic, broadcast=["*"])
    for channel in (sender, listening, older):
        channel.subscribe()
    assert sender.ask("send", event="frame", payload=BYTES) == "ok"
    sender.ask("send", event="said", payload={"n": 1})
    assert listening.next("broadcast")["payload"] == BYTES
    assert listening.next("broadcast")["payload"] == {"n": 1}
    assert older.next("broadcast")["payload"] == {"n": 1}, "version 1.0.0 has no words for bytes"


def test_over_http_without_joining(connect: Connect, connect_any: Connect, topic: str) -> None:
    listening = [connect_any(kind).channel(topic, broadcast=["*"]) for kind in ("node-newest", "pypi")]
    for channel in listening:
        channel.subscribe()
    connect().channel(topic).ask("http_send", event="said, aloud", payload=PAYLOAD)
    for channel in listening:
        assert channel.next("broadcast", event="said, aloud")["payload"] == PAYLOAD


def test_bytes_over_http(connect: Connect, connect_any: Connect, topic: str) -> None:
    listening = connect_any("node-newest").channel(topic, broadcast=["*"])
    listening.subscribe()
    connect().channel(topic).ask("http_send", event="frame", payload=BYTES)
    assert listening.next("broadcast", event="frame")["payload"] == BYTES


@pytest.mark.parametrize("kind", JAVASCRIPT)
def test_sending_before_subscribing_goes_over_http(connect: Connect, connect_any: Connect, topic: str) -> None:
    listening = [connect_any(kind).channel(topic, broadcast=["*"]) for kind in ("node-newest", "pypi")]
    for channel in listening:
        channel.subscribe()
    assert connect().channel(topic).ask("send", event="said", payload=PAYLOAD) == "ok"
    for channel in listening:
        assert channel.next("broadcast", event="said")["payload"] == PAYLOAD


def test_a_message_that_is_too_large_is_refused(connect: Connect, topic: str) -> None:
    channel = connect().channel(topic, broadcast=["*"], config={"broadcast": {"ack": True, "self": True}})
    channel.subscribe()
    assert channel.ask("send", event="large", payload={"text": "x" * 3_100_000}) == "error"
    assert channel.ask("send", event="small", payload={"n": 1}) == "ok"
    assert channel.next("broadcast")["event"] == "small"


def test_a_private_topic_is_another_topic(connect: Connect, topic: str) -> None:
    config = {"broadcast": {"self": True}}
    public = connect().channel(topic, broadcast=["*"], config=config)
    services = [connect(token=token(role="service_role")) for _ in range(2)]
    private = [client.channel(topic, broadcast=["*"], config={"private": True}) for client in services]
    for channel in (public, *private):
        channel.subscribe()
    private[0].ask("send", event="closed", payload={"n": 1})
    private[0].ask("http_send", event="closed, over HTTP", payload={"n": 2})
    public.ask("send", event="open", payload={"n": 3})
    assert public.next("broadcast")["event"] == "open"
    assert [private[1].next("broadcast")["event"] for _ in range(2)] == ["closed", "closed, over HTTP"]
    private[0].ask("send", event="last", payload={})
    assert private[1].next("broadcast")["event"] == "last", "nothing that was said in public"


def test_a_private_topic_is_closed_over_http_too(connect: Connect, topic: str) -> None:
    private = connect().channel(topic, config={"private": True})
    with pytest.raises(RuntimeError, match="Unauthorized"):
        private.ask("http_send", event="secret", payload={"n": 1})
