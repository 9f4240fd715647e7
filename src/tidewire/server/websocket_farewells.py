"""Parts with connections that are over: at once, but when thousands end at the same moment, with some in each turn.

A network that breaks ends them all in one turn of the loop. To close their sockets, and to tidy up after them, would
hold up everybody else.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

import structlog

log = structlog.get_logger()

IN_A_TURN: Final = 32
"""Some 2 ms, with closing the socket."""


class Farewells:
    """One per event loop, found with `farewells_of`. It must not hold the loop, or neither would ever be freed."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._left = IN_A_TURN
        self._is_due = False

    def tell(self, part: Callable[[], None]) -> None:
        """Call it, now or in one of the next turns of the running loop."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._turn)
        if self._left and not self._waiting:
            self._left -= 1
            part()
        else:
            self._waiting.append(part)

    def _turn(self) -> None:
        self._left = IN_A_TURN
        if not self._waiting:
            self._is_due = False
            return
        asyncio.get_running_loop().call_soon(self._turn)
        while self._left and self._waiting:
            self._left -= 1
            try:
                self._waiting.popleft()()
            except Exception:  # nobody else's farewell
                log.exception("websocket_receiver_failed")


_farewells: WeakKeyDictionary[asyncio.AbstractEventLoop, Farewells] = WeakKeyDictionary()


def farewells_of(loop: asyncio.AbstractEventLoop) -> Farewells:
    """Return the loop's own farewells, made at the first request."""
    farewells = _farewells.get(loop)
    if farewells is None:
        farewells = _farewells[loop] = Farewells()
    return farewells
