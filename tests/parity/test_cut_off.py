"""A stock client that names its session in the URL, and knows nothing else of it, misses nothing when it is cut off."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.parity.clients import Puppets, anon_key
from tests.parity.puppets import Client
from tests.parity.serving import TidewireServer
from tests.parity.tables import Database
from tests.support.proxy import BreakablePort

REJOIN_LIMIT_S = 25.0
"""Clients wait 1, 2, 5 and 10 seconds between attempts."""
SESSIONS = {"node20": "0d3f8f0a-7a57-44b7-b1d0-000000000020", "node-newest": "0d3f8f0a-7a57-44b7-b1d0-0000newest00"}


@contextmanager
def connected(proxy: BreakablePort, puppets: Puppets, kind: str) -> Iterator[Client]:
    options = {"params": {"session": SESSIONS[kind]}, "heartbeatIntervalMs": 500}
    client = Client(puppets.get(kind), f"http://127.0.0.1:{proxy.port}", anon_key(), token=None, realtime=options)
    try:
        yield client
    finally:
        client.close()


@pytest.mark.timeout(90)
@pytest.mark.parametrize("kind", list(SESSIONS))
def test_a_client_that_is_cut_off_hears_what_it_missed(
    own_tidewire: TidewireServer, puppets: Puppets, everyone: Sequence[str], topic: str, kind: str
) -> None:
    assert kind in everyone
    with (
        Database.connect(own_tidewire.database_url) as database,
        database.table("title text") as todos,
        BreakablePort(own_tidewire.port) as proxy,
        connected(proxy, puppets, kind) as client,
    ):
        channel = client.channel(topic, changes=[todos.binding("INSERT")])
        channel.subscribe()
        assert channel.system() == "Subscribed to PostgreSQL"
        todos.insert(id=1)
        assert channel.next("change")["payload"]["new"]["id"] == 1
        for _ in range(4):
            assert client.heartbeat() in {"sent", "ok"}
        proxy.cut()
        todos.insert(id=2)  # clients wait for a second before they come back
        channel.status("CHANNEL_ERROR")
        channel.next("status", status="SUBSCRIBED", limit_s=REJOIN_LIMIT_S)
        todos.insert(id=3)
        told = []
        while 3 not in told:
            told.append(channel.next("change")["payload"]["new"]["id"])
        assert told == [2, 3]
