"""The same bytes to many sockets, compiled and in Python: who took how much is told exactly, and others may run."""

import os
import socket
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.crowd import WAYS, need_compiled
from tidewire.server.socket_writes import SendAll, send_each

LIMIT_S = 5.0
ROOM_BYTES = 4096
NEVER_OPEN = 2**31 - 1
NONE = array("i")

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=WAYS)
def send_all(request: pytest.FixtureRequest) -> SendAll:
    return need_compiled() if request.param == "compiled" else send_each


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    """Ten pairs of sockets; what is written to the first of each arrives at the second."""
    with ExitStack() as stack:
        made = []
        for _ in range(10):
            ours, theirs = socket.socketpair()
            stack.enter_context(ours)
            stack.enter_context(theirs)
            ours.setblocking(False)
            theirs.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM_BYTES)
            made.append((ours, theirs))
        yield made


def numbers(pairs: list[Pair]) -> "array[int]":
    return array("i", [ours.fileno() for ours, _ in pairs])


def everything(reader: socket.socket) -> bytes:
    found = b""
    while True:
        try:
            data = reader.recv(1 << 16)
        except BlockingIOError:
            return found
        if not data:
            return found
        found += data


def fill(writer: socket.socket) -> int:
    """Write until nothing more fits, and return how many bytes that were."""
    written = 0
    while True:
        try:
            written += writer.send(b"-")
        except BlockingIOError:
            return written


def test_everybody_gets_the_packet_and_nobody_is_reported(send_all: SendAll, pairs: list[Pair]) -> None:
    assert send_all(numbers(pairs), b"words") == []
    assert [everything(theirs) for _, theirs in pairs] == [b"words"] * len(pairs)


def test_nobody_and_nothing(send_all: SendAll, pairs: list[Pair]) -> None:
    assert send_all(array("i"), b"words") == []
    assert send_all(numbers(pairs), b"") == []
    assert all(everything(theirs) == b"" for _, theirs in pairs)


def test_a_packet_with_zeros_is_sent_whole(send_all: SendAll, pairs: list[Pair]) -> None:
    packet = bytes(range(256)) * 4
    assert send_all(numbers(pairs), packet) == []
    assert {everything(theirs) for _, theirs in pairs} == {packet}


def test_what_a_socket_took_of_a_packet_is_told_to_the_byte(send_all: SendAll, pairs: list[Pair]) -> None:
    packet = os.urandom(1_000_000)
    short = send_all(numbers(pairs), packet)
    assert [place for place, _ in short] == list(range(len(pairs)))
    for place, sent in short:
        assert 0 < sent < len(packet)
        assert everything(pairs[place][1]) == packet[:sent]


def test_one_that_is_full_or_broken_took_nothing_and_the_others_everything(
    send_all: SendAll, pairs: list[Pair]
) -> None:
    full, broken, closed = pairs[2], pairs[5], pairs[7]
    filled = fill(full[0])
    broken[1].close()
    closed[0].shutdown(socket.SHUT_WR)
    assert send_all(numbers(pairs), b"words") == [(2, 0), (5, 0), (7, 0)]
    assert everything(full[1]) == b"-" * filled
    others = [theirs for _, theirs in pairs if theirs not in (full[1], broken[1], closed[1])]
    assert [everything(theirs) for theirs in others] == [b"words"] * 7


def test_a_descriptor_that_is_not_open_concerns_nobody_else(send_all: SendAll, pairs: list[Pair]) -> None:
    descriptors = numbers(pairs)
    descriptors[4], descriptors[8] = NEVER_OPEN, -1
    assert send_all(descriptors, b"words") == [(4, 0), (8, 0)]
    assert sum(everything(theirs) == b"words" for _, theirs in pairs) == len(pairs) - 2


def test_the_same_socket_twice_gets_it_twice(send_all: SendAll, pairs: list[Pair]) -> None:
    (ours, theirs), *_ = pairs
    assert send_all(array("i", [ours.fileno()] * 2), b"words") == []
    assert everything(theirs) == b"wordswords"


def test_other_threads_run_meanwhile(send_all: SendAll, pairs: list[Pair]) -> None:
    """Nothing else here gives the lock away: the interpreter is told to take it from nobody before the test is over."""
    go, ran = threading.Event(), threading.Event()

    def run() -> None:
        go.wait()
        ran.set()

    other = threading.Thread(target=run)
    other.start()
    usual = sys.getswitchinterval()
    sys.setswitchinterval(10 * LIMIT_S)
    try:
        go.set()
        deadline_s = time.monotonic() + LIMIT_S
        while not ran.is_set() and time.monotonic() < deadline_s:
            send_all(numbers(pairs) * 100, b"words")
        assert ran.is_set()
    finally:
        sys.setswitchinterval(usual)
        other.join()


@pytest.mark.parametrize(
    "arguments",
    [(), (NONE,), ([1], b""), (b"1234", b""), (array("q", [1]), b""), (array("I", [1]), b""), (NONE, "text"),
     (NONE, bytearray()), (memoryview(array("i", [1, 2, 3]))[::2], b"")],
)  # fmt: skip
def test_anything_but_ints_and_bytes_is_refused(arguments: tuple[object, ...]) -> None:
    send_all = need_compiled()
    with pytest.raises((TypeError, BufferError)):
        send_all(*arguments)  # type: ignore[arg-type]  # that is the point


def test_where_nothing_was_compiled_python_does_it() -> None:
    script = (
        "import sys; sys.modules['_tidewire_send'] = None;"
        "from tidewire.server import socket_writes as s; print(s.IS_COMPILED, s.send_all is s.send_each)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True"]
