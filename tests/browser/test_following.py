"""The client follows tables: nothing is lost and nothing comes twice, whatever happens to the connection."""

import itertools

import pytest

from tests.browser.conftest import Play
from tests.browser.narrow_network import NarrowNetwork, narrow_network
from tests.browser.players import Followed
from tests.parity.serving import TidewireServer, serving
from tests.parity.tables import Database, Table
from tests.support.postgres import ask
from tests.support.waiting import wait_until
from tidewire.model.position import parse_lsn
from tidewire.postgres.embedded import EmbeddedPostgres

TRANSPORTS = ("websocket", "sse", "longpoll")
QUICK = {"beatEveryMs": 1000, "beatMs": 1000, "openMs": 2000}
"""Less patience than in life, so that a black hole is noticed in two seconds."""
CONFIRMED = "select (confirmed_flush_lsn - '0/0')::bigint from pg_replication_slots where database = current_database()"


def ids(followed: Followed, count: int) -> list[int]:
    return [change["new"]["id"] for change in followed.changes(count)]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_change_is_told_as_it_was_made(transport: str, network: NarrowNetwork, play: Play, todos: Table) -> None:
    followed = play(network.port, transports=[transport]).follow(todos.name)
    followed.next("ready")
    todos.insert(id=1, title="tide ≈ 2 m")
    todos.update(1, done=True)
    todos.delete(1)
    made, changed, gone = followed.changes(3)
    assert (made["eventType"], made["new"], made["old"]) == (
        "INSERT",
        {"id": 1, "title": "tide ≈ 2 m", "done": None},
        {},
    )
    assert (changed["eventType"], changed["new"]["done"], changed["old"]) == ("UPDATE", True, {"id": 1})
    assert (gone["eventType"], gone["new"], gone["old"]) == ("DELETE", {}, {"id": 1})
    assert all(change["table"] == todos.name and change["position"] for change in (made, changed, gone))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_whoever_is_cut_off_goes_on_where_they_stood(
    transport: str, network: NarrowNetwork, play: Play, todos: Table
) -> None:
    player = play(network.port, transports=[transport])
    followed = player.follow(todos.name)
    followed.next("ready")
    todos.insert(id=1)
    assert ids(followed, 1) == [1]
    network.refuse()
    network.cut()
    player.wait_for_status(lambda status: status["state"] == "disconnected", "disconnected")
    for key in (2, 3, 4):
        todos.insert(id=key)
    network.accept()
    followed.next("ready")
    todos.insert(id=5)
    assert ids(followed, 4) == [2, 3, 4, 5]
    assert followed.unheard("change") == followed.unheard("gap") == []


def test_a_black_hole_is_noticed_and_costs_nothing(network: NarrowNetwork, play: Play, todos: Table) -> None:
    player = play(network.port, timing=QUICK)
    followed = player.follow(todos.name)
    followed.next("ready")
    network.freeze()
    todos.insert(id=1)
    lost = player.wait_for_status(lambda status: status["state"] == "disconnected", "disconnected")
    assert lost["reason"] == "silent"
    network.cut()
    network.thaw()
    assert ids(followed, 1) == [1]
    player.wait_for_status(lambda status: status["state"] == "connected", "connected")
    assert followed.unheard("change") == followed.unheard("gap") == []


def test_a_server_that_is_killed_loses_nothing(own_tidewire: TidewireServer, play: Play) -> None:
    with Database.connect(own_tidewire.database_url) as database, database.table("title text") as table:
        player = play(own_tidewire.port)
        followed = player.follow(table.name)
        followed.next("ready")
        table.insert(id=1)
        assert ids(followed, 1) == [1]
        for key in (2, 5):
            own_tidewire.kill()
            table.insert(id=key)
            own_tidewire.start()
            table.insert(id=key + 1)
            table.insert(id=key + 2)
        assert ids(followed, 6) == [2, 3, 4, 5, 6, 7]
        assert followed.unheard("change") == followed.unheard("gap") == []


def test_who_asks_for_the_same_shares_a_channel(play: Play, tidewire: TidewireServer, todos: Table) -> None:
    player = play(tidewire.port)
    one, other, filtered = (
        player.follow(todos.name),
        player.follow(todos.name),
        player.follow(todos.name, filter="id=gt.5"),
    )
    for followed in (one, other, filtered):
        followed.next("ready")
    assert player.status()["channels"] == {"joined": 2, "wanted": 2}
    assert player.status()["transport"] == "websocket"
    one.stop()
    todos.insert(id=7)
    assert ids(other, 1) == ids(filtered, 1) == [7]
    assert one.unheard("change") == []
    late = player.follow(todos.name)
    late.next("ready")
    assert player.status()["channels"] == {"joined": 2, "wanted": 2}


def test_another_table_does_not_disturb_the_first(
    play: Play, tidewire: TidewireServer, database: Database, todos: Table
) -> None:
    player = play(tidewire.port)
    first = player.follow(todos.name)
    first.next("ready")
    with database.table("title text") as more:
        player.follow(more.name).next("ready")
        todos.insert(id=1)
        assert ids(first, 1) == [1]
    assert first.unheard("ready") == []


def test_a_place_too_far_back_is_a_gap(play: Play, tidewire: TidewireServer, todos: Table) -> None:
    followed = play(tidewire.port).follow(todos.name, after="another1history.1.0")
    gap = followed.next("gap")["gap"]
    assert gap["position"]
    assert gap["reason"]
    todos.insert(id=1)
    assert ids(followed, 1) == [1]


def test_a_table_that_cannot_be_followed_is_told_with_the_reason(
    play: Play, tidewire: TidewireServer, todos: Table
) -> None:
    player = play(tidewire.port)
    player.follow(todos.name).next("ready")
    refused = player.follow("no_such_table").next("error")
    assert refused["code"] == "SubscriptionRefused"
    assert "no_such_table" in refused["message"]
    status = player.wait_for_status(lambda status: status["state"] == "partial", "partial")
    assert status["reason"] == "refused"
    assert len(status["refused"]) == 1


def test_a_quiet_table_comes_on_with_the_heartbeats(server: EmbeddedPostgres, play: Play) -> None:
    """Without that it would stand behind all that is kept as soon as others are written to."""
    brief = {"TIDEWIRE_RETENTION_AGE_S": "0.01", "TIDEWIRE_HISTORY_AGE_S": "0.01"}
    with (
        serving(server, **brief) as tidewire,
        narrow_network(tidewire.port) as network,
        Database.connect(tidewire.database_url) as database,
        database.table("title text") as quiet,
        database.table("title text") as busy,
    ):
        player = play(network.port, transports=["longpoll"], timing={"beatEveryMs": 100})
        followed = player.follow(quiet.name)
        followed.next("ready")
        joined_at = ask(tidewire.database_url, "select pg_current_wal_insert_lsn()::text")
        keys = itertools.count(1)

        def has_passed() -> bool:
            busy.insert(id=next(keys))
            return bool(ask(tidewire.database_url, CONFIRMED) > parse_lsn(joined_at))

        wait_until(has_passed, limit_s=20)
        asked = len(network.seen)
        wait_until(lambda: len(network.seen) > asked + 30, limit_s=20)  # each heartbeat is a post and a poll
        network.cut()
        followed.next("ready")
        quiet.insert(id=1)
        assert ids(followed, 1) == [1]
        assert followed.unheard("gap") == []
