"""Broadcasts that supabase-js has kept are replayed to its later readers; the older clients cannot ask for it."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.parity.clients import Connect
from tests.parity.serving import token
from tests.parity.tables import Database

PERSISTING = ("node-newest", "chromium")
"""supabase-js 2.119 knows the option `persist`; 2.109 and PyPI's 2.34 do not."""


@pytest.fixture(autouse=True)
def _policies(database: Database) -> Iterator[None]:
    """Let everybody listen and speak, and have broadcasts kept in some rooms."""
    database.execute('create policy "listen" on realtime.messages for select to authenticated using (true)')
    database.execute(
        """create policy "speak" on realtime.messages for insert to authenticated
           with check (extension = 'broadcast' or (extension = 'persistence' and realtime.topic() like 'kept %'))"""
    )
    yield
    database.execute('drop policy "listen" on realtime.messages')
    database.execute('drop policy "speak" on realtime.messages')


def private(**broadcast: Any) -> dict[str, Any]:
    return {"private": True, "broadcast": broadcast}


REPLAY = {"since": 0, "limit": 25}


@pytest.mark.parametrize("kind", PERSISTING)
def test_what_is_kept_is_replayed_to_every_kind_of_client(connect: Connect, connect_any: Connect, topic: str) -> None:
    topic = f"kept {topic}"
    user = token(role="authenticated")
    sender = connect(token=user).channel(topic, config=private(ack=True))
    listener = connect(token=user).channel(topic, broadcast=["*"], config=private())
    sender.subscribe()
    listener.subscribe()
    assert sender.ask("send", event="said", payload={"n": 1}, persist=True) == "ok"
    assert sender.ask("send", event="said", payload={"n": 2}) == "ok"
    assert sender.ask("send", event="said", payload={"n": 3}, persist={"ttl": 60}) == "ok"
    heard = [listener.next("broadcast") for _ in range(3)]
    assert [each["payload"]["n"] for each in heard] == [1, 2, 3]
    ids = [each["meta"]["id"] for each in heard if each.get("meta")]
    for late in (partial(connect, token=user), partial(connect_any, "pypi", token=user)):
        channel = late().channel(topic, broadcast=["*"], config=private(replay=REPLAY))
        channel.subscribe()
        replayed = [channel.next("broadcast") for _ in range(2)]
        assert [each["payload"]["n"] for each in replayed] == [1, 3]
        assert [each["meta"] for each in replayed] == [{"id": id_, "replayed": True} for id_ in ids]
    assert not listener.unheard("broadcast")


@pytest.mark.parametrize("kind", PERSISTING)
def test_over_http(connect: Connect, topic: str) -> None:
    topic = f"kept {topic}"
    client = connect(token=token(role="authenticated"))
    sender = client.channel(topic, config=private())
    assert sender.ask("http_send", event="said", payload={"n": 1}, persist=True) == {"success": True}
    assert sender.ask("http_send", event="said", payload={"n": 2}, persist={"ttl": 60}) == {"success": True}
    late = connect(token=token(role="authenticated")).channel(topic, broadcast=["*"], config=private(replay=REPLAY))
    late.subscribe()
    assert [late.next("broadcast")["payload"]["n"] for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("kind", PERSISTING)
def test_a_time_that_cannot_be_is_told_by_its_code(connect: Connect, topic: str) -> None:
    sender = connect(token=token(role="authenticated")).channel(f"kept {topic}", config=private(ack=True))
    sender.subscribe()
    assert sender.ask("send", event="said", payload={}, persist={"ttl": 259_201}) == "invalid_persist_ttl"


@pytest.mark.parametrize("kind", PERSISTING)
def test_what_may_not_be_kept_is_sent(connect: Connect, topic: str) -> None:
    user = token(role="authenticated")
    sender = connect(token=user).channel(topic, config=private(ack=True))
    listener = connect(token=user).channel(topic, broadcast=["*"], config=private())
    sender.subscribe()
    listener.subscribe()
    assert sender.ask("send", event="said", payload={"n": 1}, persist=True) == "ok"
    assert listener.next("broadcast")["payload"] == {"n": 1}
    late = connect(token=user).channel(topic, broadcast=["*"], config=private(replay=REPLAY))
    late.subscribe()
    sender.ask("send", event="said", payload={"n": 2})
    assert late.next("broadcast")["payload"] == {"n": 2}
