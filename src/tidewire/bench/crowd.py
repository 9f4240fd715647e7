"""Many followers on real sockets in one loop: connected, cut off and let back all at once. Notes when each row came."""

import select
import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from tidewire.bench.follower import Follower, Words
from tidewire.model.errors import BenchmarkFailed

PER_ADDRESS: Final = 1_000
"""Connections from one loopback address: a port stays taken for a while after its connection has ended."""
READ_BYTES: Final = 256 * 1024
IN_TURN: Final = 250
RETRIES_EACH: Final = 3
LIMIT_S: Final = 120.0
_BIND_ADDRESS_NO_PORT: Final = 24  # Linux: choose the port when connecting, so that the other side's address counts
_POLL_S: Final = 0.05

Arrival = tuple[int, int, float]
"""The number of a follower, the mark of a row, and the Unix time in seconds."""


class Crowd:
    """First `let_in`; then `run_until` something holds. `come_back` cuts all off and lets them go on there."""

    def __init__(self, port: int, everybody: Sequence[Words]) -> None:
        self.followers = [Follower(words) for words in everybody]
        self.arrivals: list[Arrival] = []
        self.retries = 0
        """How often somebody was sent away at the door, and tried again."""
        self.joined = 0
        self.last_joined_s = 0.0
        """When the last follower that joined did."""
        self._most_retries = RETRIES_EACH * len(everybody)
        self._port = port
        self._sockets: list[socket.socket] = []
        self._numbers: dict[int, int] = {}
        self._poll = select.epoll()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.cut()
        self._poll.close()

    def let_in(self) -> None:
        """Let all join for the first time, some after the other: this is not what is measured."""
        everybody = range(len(self.followers))
        for first in range(0, len(everybody), IN_TURN):
            self._open(everybody[first : first + IN_TURN])
            self.run_until(lambda: self.joined == len(self._sockets), doing="joining")

    def come_back(self) -> None:
        """Cut all connections, open them again at once, and run until each has been let in."""
        self.cut()
        self._open(range(len(self.followers)))
        self.run_until(lambda: self.joined == len(self._sockets), doing="coming back")
        if missing := sum(not follower.recovered for follower in self.followers):
            raise BenchmarkFailed(f"coming back: expected all of the past to be there, got {missing} clients without")

    def _open(self, numbers: range) -> None:
        for number in numbers:
            self._sockets.append(self._connect(number))

    def _connect(self, number: int) -> socket.socket:
        one = socket.socket()
        one.setblocking(False)
        one.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        one.bind((f"127.0.0.{2 + number // PER_ADDRESS}", 0))
        one.connect_ex(("127.0.0.1", self._port))
        self._numbers[one.fileno()] = number
        self._poll.register(one, select.EPOLLOUT)
        return one

    def cut(self) -> None:
        """Close all sockets, whatever is on its way."""
        for one in self._sockets:
            one.close()  # which takes it out of the poll as well
        self._sockets.clear()
        self._numbers.clear()
        self.joined = 0

    def run_until(self, is_over: Callable[[], bool], *, doing: str, limit_s: float = LIMIT_S) -> None:
        """Let them talk until something holds. Raises BenchmarkFailed when it takes too long."""
        deadline_s = time.monotonic() + limit_s
        while not is_over():
            if time.monotonic() > deadline_s:
                raise BenchmarkFailed(
                    f"{doing}: expected an end within {limit_s:g} s, got {self.joined} of {len(self.followers)} clients"
                    f" inside, and {len(self.arrivals)} rows"
                )
            for descriptor, events in self._poll.poll(_POLL_S):
                self._serve(self._numbers[descriptor], events)

    def run_for(self, seconds: float) -> None:
        """Let them talk for a while."""
        end_s = time.monotonic() + seconds
        self.run_until(lambda: time.monotonic() >= end_s, doing="listening", limit_s=seconds + LIMIT_S)

    def _serve(self, number: int, events: int) -> None:
        one, follower = self._sockets[number], self.followers[number]
        try:
            if events & select.EPOLLIN:
                self._receive(number, one.recv(READ_BYTES))
            elif events & select.EPOLLOUT:
                one.sendall(follower.connected())
                self._poll.modify(one, select.EPOLLIN)
            else:
                raise ConnectionRefusedError("refused")
        except (OSError, BenchmarkFailed) as error:
            if follower.is_joined or self.retries == self._most_retries:
                raise BenchmarkFailed(
                    f"following as client {number}: expected to stay connected, got {error}"
                ) from error
            self._try_again(number)

    def _try_again(self, number: int) -> None:
        """Come back like any client that was sent away at the door; real ones would wait a moment."""
        self.retries += 1
        one = self._sockets[number]
        del self._numbers[one.fileno()]
        one.close()
        self._sockets[number] = self._connect(number)

    def _receive(self, number: int, chunk: bytes) -> None:
        follower = self.followers[number]
        if not chunk:
            raise ConnectionResetError("its end")
        was_joined = follower.is_joined
        if answer := follower.receive(chunk):
            self._sockets[number].sendall(answer)
        now_s = time.time()
        if follower.is_joined and not was_joined:
            self.joined += 1
            self.last_joined_s = now_s
        if follower.marks:
            self.arrivals.extend((number, mark, now_s) for mark in follower.marks)
            follower.marks.clear()
