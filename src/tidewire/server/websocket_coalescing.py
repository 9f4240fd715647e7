"""Collects what is written to many connections in one turn of the event loop, so that each gets one system call.

Needs no timer and nothing per connection: one callback a turn serves all connections of a loop, a bounded number each
time, so that a message to everybody does not stop the other traffic.
"""

import asyncio
from collections import deque
from typing import Protocol
from weakref import WeakKeyDictionary

BATCH = 100
"""Connections flushed in one turn: about 0.5 ms of system calls, after which others are served."""


class Flushable(Protocol):
    def flush(self) -> bool:
        """Send what was collected. True keeps the connection in collecting mode, and asks to be called again."""
        ...


class Coalescer:
    """One per event loop, found with `coalescer_of`. It must not hold the loop, or neither would ever be freed."""

    __slots__ = ("__weakref__", "_waiting", "due", "turn")

    def __init__(self) -> None:
        self._waiting: deque[Flushable] = deque()
        self.turn = 0
        """Grows with the turns of the loop, as long as somebody writes: who has written in this one collects."""
        self.due = False
        """Whether the next turn is being waited for; if not, and you write, call `wake`."""

    def wake(self) -> None:
        """See to it that the turn grows."""
        self.due = True
        asyncio.get_running_loop().call_soon(self._flush)

    def visit(self, connection: Flushable) -> None:
        """Call the connection's `flush` in the next turn. The connection asks once until it has been called."""
        self._waiting.append(connection)
        if not self.due:
            self.wake()

    def _flush(self) -> None:
        self.turn += 1
        waiting = self._waiting
        for _ in range(min(len(waiting), BATCH)):
            connection = waiting.popleft()
            if connection.flush():
                waiting.append(connection)
        self.due = bool(waiting)
        if waiting:
            asyncio.get_running_loop().call_soon(self._flush)


_coalescers: WeakKeyDictionary[asyncio.AbstractEventLoop, Coalescer] = WeakKeyDictionary()


def coalescer_of(loop: asyncio.AbstractEventLoop) -> Coalescer:
    """Return the loop's own coalescer, made at the first request."""
    coalescer = _coalescers.get(loop)
    if coalescer is None:
        coalescer = _coalescers[loop] = Coalescer()
    return coalescer
