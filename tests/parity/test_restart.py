"""The server leaves and comes back: clients that nobody told what to do come back by themselves."""

from collections.abc import Sequence

from tests.parity.clients import Puppets, connecting
from tests.parity.serving import TidewireServer
from tests.parity.tables import Database

REJOIN_LIMIT_S = 25.0
"""Clients wait 1, 2, 5 and 10 seconds between attempts."""


def test_everyone_comes_back_after_a_restart(
    own_tidewire: TidewireServer, puppets: Puppets, everyone: Sequence[str], topic: str
) -> None:
    with (
        Database.connect(own_tidewire.database_url) as database,
        database.table("title text") as todos,
        connecting(own_tidewire, puppets) as connect,
    ):
        channels = {
            kind: connect(kind).channel(topic, broadcast=["ping"], presence=True, changes=[todos.binding("INSERT")])
            for kind in everyone
        }
        for channel in channels.values():
            channel.subscribe()
            assert channel.system() == "Subscribed to PostgreSQL"
        todos.insert(id=1)
        for channel in channels.values():
            assert channel.next("change")["payload"]["new"]["id"] == 1

        own_tidewire.stop()
        for kind, channel in channels.items():
            assert "1012" in channel.status("CHANNEL_ERROR"), kind
        todos.insert(id=2)  # while nobody is there
        own_tidewire.start()
        for channel in channels.values():
            channel.next("status", status="SUBSCRIBED", limit_s=REJOIN_LIMIT_S)
            assert channel.system() == "Subscribed to PostgreSQL"

        todos.insert(id=3)
        for kind, channel in channels.items():
            assert channel.next("change")["payload"]["new"]["id"] == 3, f"{kind} cannot know what it missed"
        first, *others = channels.values()
        first.ask("send", event="ping", payload={"n": 1})
        for channel in others:
            assert channel.next("broadcast")["payload"] == {"n": 1}
