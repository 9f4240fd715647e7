"""Hundreds of connections that end in the same moment: the loop goes on turning, and each end is told once."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise

import pytest

from tests.support.waiting import wait_until
from tests.support.websocket import LIMIT_S, RawClient, RunningServer, serving
from tests.support.websocket_lab import Lab, Watcher
from tidewire.server.websocket_farewells import IN_A_TURN

COUNT = 5 * IN_A_TURN


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture(params=["uvloop", "asyncio"])
def server(lab: Lab, request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    with serving(lab, loop=request.param) as running:
        yield running


@contextmanager
def clients(server: RunningServer, path: str) -> Iterator[list[RawClient]]:
    with ExitStack() as stack:
        made = [stack.enter_context(RawClient(server.port)) for _ in range(COUNT)]
        for client in made:
            client.upgrade(path)
        yield made


@contextmanager
def in_one_turn(watcher: Watcher, then: Callable[[], None]) -> Iterator[None]:
    """Hold the server's loop up, so that it finds all that is done here at once; `then` is called when it goes on."""
    is_held, may_go_on = threading.Event(), threading.Event()

    def hold() -> None:
        is_held.set()
        may_go_on.wait(LIMIT_S)
        then()

    watcher.loop.call_soon_threadsafe(hold)
    assert is_held.wait(LIMIT_S)
    yield
    may_go_on.set()


def cut(crowd: list[RawClient]) -> None:
    for client in crowd:
        client.socket.shutdown(socket.SHUT_RDWR)


def test_a_crowd_that_is_cut_at_once_leaves_in_turns(server: RunningServer, lab: Lab) -> None:
    left: list[int] = []
    writable: list[int] = []
    with clients(server, "/taken") as crowd:
        watchers = [lab.takers.get(timeout=LIMIT_S) for _ in crowd]

        def note() -> None:
            left.append(server.open_connections)
            writable.append(sum(each.connection.is_open for each in watchers))
            if left[-1]:
                watchers[0].loop.call_soon(note)

        with in_one_turn(watchers[0], note):
            cut(crowd)
        wait_until(lambda: server.open_connections == 0)
        assert [each.next() for each in watchers] == [("closed", 1006)] * COUNT
        assert all(each.told.empty() for each in watchers), "told twice"
    gone = [before - after for before, after in pairwise(left)]
    assert sum(gone) == COUNT
    assert max(gone) <= IN_A_TURN
    begun = next(turn for turn, open_ in enumerate(left) if open_ < COUNT)
    assert writable[begun] == 0, "who waits to be parted with is not written to"


def test_who_is_taken_over_while_its_end_waits_is_told(server: RunningServer, lab: Lab) -> None:
    with clients(server, "/taken") as held, clients(server, "/taken_late") as crowd:
        watchers = [lab.takers.get(timeout=LIMIT_S) for _ in held]
        with in_one_turn(watchers[0], lambda: None):
            cut(crowd)
            lab.go_on.set()
        late = [lab.takers.get(timeout=LIMIT_S) for _ in crowd]
        assert [each.next() for each in late] == [("closed", 1006)] * COUNT
        wait_until(lambda: server.open_connections == COUNT)
