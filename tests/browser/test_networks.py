"""The client finds a way through networks that do not let every transport pass, and the better one back."""

import pytest

from tests.browser.conftest import Play
from tests.browser.narrow_network import NarrowNetwork, Rule
from tests.parity.tables import Table

QUICK = {"openMs": 1500, "beatMs": 1500, "upgradeMs": 300}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"websocket": "refuse"}, "sse"),
        ({"websocket": "mute"}, "sse"),
        ({"websocket": "refuse", "sse": "gather"}, "longpoll"),
        ({"websocket": "mute", "sse": "mute"}, "longpoll"),
    ],
    ids=["no websocket", "websocket that says nothing", "no stream either", "nothing but short answers"],
)
def test_the_next_transport_is_taken(
    rules: dict[str, Rule], expected: str, network: NarrowNetwork, play: Play, todos: Table
) -> None:
    network.rules.update(rules)
    player = play(network.port, timing={**QUICK, "upgradeMs": 600_000})
    followed = player.follow(todos.name)
    followed.next("ready")
    status = player.wait_for_status(lambda status: status["state"] == "connected", "connected")
    assert status["transport"] == expected
    todos.insert(id=1)
    assert followed.change()["new"]["id"] == 1
    network.cut()  # what worked is remembered
    followed.next("ready")
    todos.insert(id=2)
    assert followed.change()["new"]["id"] == 2
    assert player.status()["transport"] == expected
    assert len([path for path in network.seen if "/websocket" in path]) == 1
    assert followed.unheard("gap") == followed.unheard("change") == []


def test_a_better_transport_is_taken_again_once_it_works(network: NarrowNetwork, play: Play, todos: Table) -> None:
    network.rules["websocket"] = "refuse"
    player = play(network.port, timing=QUICK)
    followed = player.follow(todos.name)
    followed.next("ready")
    assert player.status()["transport"] == "sse"
    network.rules.clear()
    player.wait_for_status(
        lambda status: (status["state"], status["transport"]) == ("connected", "websocket"), "on a WebSocket again"
    )
    todos.insert(id=1)
    assert followed.change()["new"]["id"] == 1
    assert followed.unheard("gap") == followed.unheard("change") == []


def test_a_server_that_is_away_is_no_reason_to_change_the_transport(
    network: NarrowNetwork, play: Play, todos: Table
) -> None:
    player = play(network.port, timing={**QUICK, "upgradeMs": 600_000})
    followed = player.follow(todos.name)
    followed.next("ready")
    network.refuse()
    network.cut()
    player.wait_for_status(lambda status: status["attempt"] >= 5, "the fifth attempt")
    network.accept()
    followed.next("ready")
    status = player.wait_for_status(lambda status: status["state"] == "connected", "connected")
    assert status["transport"] == "websocket"


def test_reconnect_all_does_not_wait(network: NarrowNetwork, play: Play, todos: Table) -> None:
    player = play(network.port, timing={"backoffMs": 600_000, "backoffMaxMs": 600_000})
    followed = player.follow(todos.name)
    followed.next("ready")
    network.refuse()
    network.cut()
    waiting = player.wait_for_status(lambda status: status["nextRetryAt"] is not None, "waiting")
    assert waiting["state"] == "disconnected"
    network.accept()
    player.ask("reconnect")
    followed.next("ready")
    assert player.status()["attempt"] == 0
