"""Lists that are read once and followed hold exactly what the table holds."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import Play
from tests.browser.narrow_network import NarrowNetwork
from tests.browser.players import List
from tests.parity.serving import TidewireServer
from tests.parity.tables import Database, Table


@pytest.fixture
def tasks(database: Database) -> Iterator[Table]:
    """Return a table whose old rows are in the log, with three rows."""
    with database.table("title text, done bool", full=True) as made:
        for key, title in enumerate(("one", "two", "three"), 1):
            made.insert(id=key, title=title, done=False)
        yield made


def keys(snapshot: dict[str, Any]) -> list[int]:
    return [row["id"] for row in snapshot["rows"]]


def wait_for(found: List, expected: list[int]) -> dict[str, Any]:
    return found.wait(lambda snapshot: snapshot["state"] == "live" and keys(snapshot) == expected, f"live {expected}")


def test_a_list_follows_inserts_updates_and_deletes(play: Play, tidewire: TidewireServer, tasks: Table) -> None:
    found = play(tidewire.port).rows(table=tasks.name, order="id.desc")
    snapshot = wait_for(found, [3, 2, 1])
    assert (snapshot["isExact"], snapshot["isComplete"], snapshot["error"]) == (True, True, None)
    tasks.insert(id=4, title="four", done=False)
    wait_for(found, [4, 3, 2, 1])
    tasks.delete(2)
    tasks.update(3, title="drei")
    found.wait(lambda snapshot: [row["title"] for row in snapshot["rows"]] == ["four", "drei", "one"], "drei")


def test_rows_that_leave_a_filter_leave_the_list(play: Play, tidewire: TidewireServer, tasks: Table) -> None:
    found = play(tidewire.port).rows(table=tasks.name, filter="done=is.false", order="id")
    wait_for(found, [1, 2, 3])
    tasks.update(2, done=True)
    wait_for(found, [1, 3])
    tasks.update(2, done=False)
    wait_for(found, [1, 2, 3])


def test_a_window_is_filled_up_again(play: Play, tidewire: TidewireServer, tasks: Table) -> None:
    found = play(tidewire.port).rows(table=tasks.name, order="id", limit=2)
    wait_for(found, [1, 2])
    tasks.delete(1)
    wait_for(found, [2, 3])
    tasks.insert(id=0, title="zero", done=False)
    wait_for(found, [0, 2])


def test_without_old_rows_the_list_says_that_it_may_keep_too_much(
    play: Play, tidewire: TidewireServer, todos: Table
) -> None:
    todos.insert(id=1, done=False)
    found = play(tidewire.port).rows(table=todos.name, filter="done=is.false")
    assert wait_for(found, [1])["isExact"] is False


def test_a_list_is_the_table_after_every_interruption(network: NarrowNetwork, play: Play, tasks: Table) -> None:
    found = play(network.port).rows(table=tasks.name, order="id")
    wait_for(found, [1, 2, 3])
    for key in range(4, 10):
        network.cut()
        tasks.insert(id=key, title="more", done=False)
        if key % 2:
            tasks.delete(key - 1)
    snapshot = wait_for(found, [1, 2, 3, 5, 7, 9])
    assert snapshot["error"] is None


def test_a_list_that_may_not_be_read_says_so(play: Play, tidewire: TidewireServer, database: Database) -> None:
    with database.table("title text", roles="service_role") as table:
        found = play(tidewire.port).rows(table=table.name)
        snapshot = found.wait(lambda snapshot: snapshot["state"] == "error", "error")
        assert snapshot["error"]["code"] == "42501"
        assert snapshot["error"]["retryable"] is False
