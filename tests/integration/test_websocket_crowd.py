"""One packet to many WebSockets, compiled and in Python: every byte once and in order, whatever else is written."""

import ssl
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from tests.support.certificate import self_signed
from tests.support.crowd import WAYS, need_compiled
from tests.support.waiting import wait_until
from tests.support.websocket import CLOSE, LIMIT_S, TEXT, RawClient, RunningServer, close_payload, frame, serving
from tests.support.websocket_lab import Lab, Watcher
from tidewire.hub.fanout import TURN, Fanout
from tidewire.hub.forms import Form
from tidewire.hub.topics import Member, Topic
from tidewire.server.direct_group import DirectGroup
from tidewire.server.socket_writes import SendAll, send_each
from tidewire.wire.message import Frame, Message
from tidewire.wire.phoenix_v2 import V2
from tidewire.wire.websocket import encode_frame

T = TypeVar("T")

HUGE = b"x" * 3_000_000
"""Of this a socket with so small a buffer takes only a part."""
SEND_BUFFER_BYTES = 256 * 1024


def packet(text: bytes) -> bytes:
    return encode_frame(TEXT, text)


class Crowd:
    """Clients of a server, with the connections that were taken over for them, and one group of all."""

    def __init__(self, lab: Lab, stack: ExitStack, send_all: SendAll) -> None:
        self.clients: list[RawClient] = []
        self.watchers: list[Watcher] = []
        self.form = Form(V2(), _wrap, None, partial(DirectGroup, send_all=self._record))
        self.claimed: list[int] = []
        """How many descriptors were written to at once, call by call."""
        self.send_all = send_all
        self._lab = lab
        self._stack = stack

    def _record(self, descriptors: "array[int]", data: bytes) -> list[tuple[int, int]]:
        self.claimed.append(len(descriptors))
        return self.send_all(descriptors, data)

    def join(self, server: RunningServer, count: int) -> None:
        for _ in range(count):
            client = self._stack.enter_context(RawClient(server.port))
            client.upgrade("/taken")
            self.clients.append(client)
            self.watchers.append(self._lab.takers.get(timeout=LIMIT_S))

    def warm(self) -> None:
        """Bound what sockets take at once, and write to each, so that it is known that nothing waits before it."""

        def turn() -> None:
            for watcher in self.watchers:
                watcher.connection.limit_send_buffer(SEND_BUFFER_BYTES)
                watcher.connection.write(packet(b"warm"))

        self.run(turn)
        assert {client.read_frame() for client in self.clients} == {(TEXT, b"warm")}

    def write_to_each(self, text: bytes) -> None:
        for watcher in self.watchers:
            watcher.connection.write(packet(text))

    def run(self, work: Callable[[], T]) -> T:
        """Do something in one turn of the server's loop, and return what came of it."""
        done: Future[T] = Future()

        def act() -> None:
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it is raised where the test sees it
                done.set_exception(error)

        self.watchers[0].loop.call_soon_threadsafe(act)
        return done.result(LIMIT_S)

    def members(self) -> list[Member]:
        return [Member(self.form, watcher.connection.write) for watcher in self.watchers]

    def write(self, text: bytes) -> Callable[[], None]:
        """Return what writes a text to all at once."""
        group = self.form.group(self.members())
        return lambda: group.write(packet(text), 0, len(group))


def _wrap(each: Frame) -> bytes:
    return packet(each.data)


@pytest.fixture(params=WAYS)
def send_all(request: pytest.FixtureRequest) -> SendAll:
    return need_compiled() if request.param == "compiled" else send_each


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture(params=["uvloop", "asyncio"])
def server(lab: Lab, request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    with serving(lab, loop=request.param) as running:
        yield running


@pytest.fixture
def crowd(server: RunningServer, lab: Lab, send_all: SendAll) -> Iterator[Crowd]:
    with ExitStack() as stack:
        made = Crowd(lab, stack, send_all)
        made.join(server, 12)
        made.warm()
        yield made


def test_all_get_it_with_one_call(crowd: Crowd) -> None:
    crowd.run(crowd.write(b"words"))
    assert [client.read_frame() for client in crowd.clients] == [(TEXT, b"words")] * 12
    assert crowd.claimed == [12]


def test_it_is_the_first_write_of_a_turn_and_what_follows_is_collected(crowd: Crowd) -> None:
    def turn() -> list[int]:
        crowd.write(b"1")()
        crowd.write(b"2")()
        crowd.watchers[3].connection.write(packet(b"3"))
        crowd.write(b"4")()
        return [watcher.connection.buffered_bytes for watcher in crowd.watchers]

    waiting = crowd.run(turn)
    size = len(packet(b"2"))
    assert waiting == [2 * size] * 3 + [3 * size] + [2 * size] * 8
    assert crowd.claimed == [12]
    for place, client in enumerate(crowd.clients):
        expected = [b"1", b"2", b"3", b"4"] if place == 3 else [b"1", b"2", b"4"]
        assert [client.read_frame()[1] for _ in expected] == expected


def test_whoever_has_been_written_to_in_this_turn_gets_it_after_that(crowd: Crowd) -> None:
    """Also when the group is written to in parts, as a crowd is."""
    earlier = {2, 5, 9}

    def turn() -> None:
        for place in earlier:
            crowd.watchers[place].connection.write(packet(b"before"))
        group = crowd.form.group(crowd.members())
        group.write(packet(b"words"), 0, 4)
        group.write(packet(b"words"), 4, 12)

    crowd.run(turn)
    assert crowd.claimed == [3, 6]
    for place, client in enumerate(crowd.clients):
        expected = [b"before", b"words"] if place in earlier else [b"words"]
        assert [client.read_frame()[1] for _ in expected] == expected


def test_whoever_is_collecting_for_several_turns_gets_it_after_what_is_collected(crowd: Crowd) -> None:
    busy = crowd.watchers[5].connection

    def first() -> None:
        for text in (b"1", b"2", b"3"):
            busy.write(packet(text))  # the second and third are collected, and so is what comes in the next turn
        crowd.watchers[5].loop.call_soon(second)

    def second() -> None:
        busy.write(packet(b"4"))
        crowd.write(b"words")()

    crowd.run(first)
    assert [crowd.clients[5].read_frame()[1] for _ in range(5)] == [b"1", b"2", b"3", b"4", b"words"]
    assert crowd.claimed == [11]


def test_what_a_socket_did_not_take_waits_and_nothing_overtakes_it(crowd: Crowd) -> None:
    """Large and small ones in turn, to all and to one, in the same turn and in later ones."""

    def turn() -> list[int]:
        crowd.write(HUGE)()
        waiting = [watcher.connection.buffered_bytes for watcher in crowd.watchers]
        crowd.watchers[0].connection.write(packet(b"one"))
        return waiting

    waiting = crowd.run(turn)
    assert all(0 < each < len(HUGE) for each in waiting)
    for number in range(3):
        crowd.run(crowd.write(b"%d" % number + HUGE))
        crowd.run(crowd.write(b"%d" % number))
    for place, client in enumerate(crowd.clients):
        assert client.read_frame() == (TEXT, HUGE)
        if place == 0:
            assert client.read_frame() == (TEXT, b"one")
        for number in range(3):
            assert client.read_frame() == (TEXT, b"%d" % number + HUGE)
            assert client.read_frame() == (TEXT, b"%d" % number)
    crowd.warm()
    del crowd.claimed[:]
    crowd.run(crowd.write(b"calm"))
    assert [client.read_frame() for client in crowd.clients] == [(TEXT, b"calm")] * 12
    assert crowd.claimed == [12]


def test_a_reader_that_does_not_keep_up_is_paused_and_costs_the_others_nothing(crowd: Crowd) -> None:
    slow = crowd.watchers[4]
    for number in range(20):
        crowd.run(crowd.write(b"%d" % number + b"x" * 500_000))
        for place, client in enumerate(crowd.clients):
            if place != 4:
                assert client.read_frame()[1].startswith(b"%d" % number)
    assert slow.next() == ("pause", None)
    assert crowd.run(lambda: slow.connection.buffered_bytes) > 0
    for number in range(20):
        assert crowd.clients[4].read_frame()[1].startswith(b"%d" % number)
    assert slow.next() == ("resume", None)
    assert crowd.run(lambda: slow.connection.buffered_bytes) == 0


def test_a_close_follows_what_was_left_over(crowd: Crowd) -> None:
    def turn() -> None:
        crowd.write(HUGE)()
        assert all(0 < watcher.connection.buffered_bytes < len(HUGE) for watcher in crowd.watchers)
        for watcher in crowd.watchers:
            watcher.connection.close(1000)
        crowd.write(b"after")()

    crowd.run(turn)
    for client in crowd.clients:
        client.send(frame(CLOSE, close_payload(1000)))
        assert client.read_frames() == [(TEXT, HUGE), (CLOSE, close_payload(1000))]


def test_whoever_is_closing_lost_or_cut_gets_nothing_and_the_others_everything(crowd: Crowd) -> None:
    crowd.run(lambda: crowd.watchers[2].connection.close(1000))
    crowd.clients[7].socket.close()
    wait_until(lambda: not crowd.watchers[7].connection.is_open)

    def turn() -> None:
        crowd.watchers[9].connection.cut()
        crowd.write(b"words")()

    crowd.run(turn)
    crowd.run(crowd.write(b"more"))
    crowd.clients[2].send(frame(CLOSE, close_payload(1000)))
    assert crowd.clients[2].read_frames() == [(CLOSE, close_payload(1000))]
    for place in set(range(12)) - {2, 7, 9}:
        assert [crowd.clients[place].read_frame()[1] for _ in "12"] == [b"words", b"more"]


def test_a_peer_that_resets_while_it_is_written_to_is_reported_as_lost(crowd: Crowd) -> None:
    """The socket is broken before the loop knows: the write fails, and the transport finds out."""

    def turn() -> None:
        crowd.clients[6].socket.shutdown(2)
        crowd.clients[6].socket.close()
        for _ in range(3):
            crowd.write(HUGE)()

    crowd.run(turn)
    assert crowd.watchers[6].next()[0] in {"closed", "pause"}
    wait_until(lambda: not crowd.watchers[6].connection.is_open)
    for client in crowd.clients[:6] + crowd.clients[7:]:
        assert [client.read_frame() for _ in range(3)] == [(TEXT, HUGE)] * 3


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_over_tls_each_gets_it_in_its_own_way(tmp_path: Path, lab: Lab, loop: str, send_all: SendAll) -> None:
    certificate, key = self_signed(tmp_path)
    trust = ssl.create_default_context(cafile=certificate)
    with serving(lab, loop=loop, ssl_certfile=certificate, ssl_keyfile=key) as server, ExitStack() as stack:
        crowd = Crowd(lab, stack, send_all)
        for _ in range(3):
            client = stack.enter_context(RawClient(server.port, trust=trust))
            client.upgrade("/taken")
            crowd.clients.append(client)
            crowd.watchers.append(lab.takers.get(timeout=LIMIT_S))
        crowd.warm()
        crowd.run(crowd.write(b"words"))
        assert [client.read_frame() for client in crowd.clients] == [(TEXT, b"words")] * 3
        assert crowd.claimed == []


def test_a_member_that_leaves_while_a_message_is_on_its_way_does_not_get_it(
    server: RunningServer, lab: Lab, send_all: SendAll
) -> None:
    """Its connection stays, with its other channels: only the topic knows that it has left."""
    with ExitStack() as stack:
        crowd = Crowd(lab, stack, send_all)
        crowd.join(server, TURN + 10)
        crowd.warm()
        members = crowd.members()
        fanout = Fanout(crowd.watchers[0].loop.call_soon)
        topic = Topic("room", fanout)

        def turn() -> None:
            for member in members:
                topic.join(member, broadcasts=True, presence=False)
            topic.broadcast(Message("realtime:room", "broadcast", b"{}"), spared=(members[1],))
            topic.leave(members[-1])

        crowd.run(turn)
        wait_until(lambda: crowd.run(lambda: fanout.idle))
        crowd.run(lambda: crowd.write_to_each(b"last"))
        for place, client in enumerate(crowd.clients):
            heard = [] if place in {1, TURN + 9} else [b'[null,null,"realtime:room","broadcast",{}]']
            assert [client.read_frame()[1] for _ in [*heard, b"last"]] == [*heard, b"last"]
