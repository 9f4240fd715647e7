"""Gives every connection its tick, a few at a time: all of them at once would hold everybody else up."""

import asyncio
from collections.abc import Callable
from itertools import cycle
from typing import Final

from tidewire.hub.connection import ClientConnection

PERIOD_S: Final = 1.0
SPOKES: Final = 100
"""Ten thousand connections tick in slices of a hundred: about 0.2 ms each."""


class Wheel:
    """Connections, spread evenly over a period. Run `turn` for as long as they live."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take Unix time from `clock`."""
        self._clock = clock
        self._spokes: list[dict[int, ClientConnection]] = [{} for _ in range(SPOKES)]

    def add(self, connection: ClientConnection) -> None:
        """Tick a connection from now on."""
        self._spokes[connection.number % SPOKES][connection.number] = connection

    def discard(self, connection: ClientConnection) -> None:
        """Tick it no more."""
        self._spokes[connection.number % SPOKES].pop(connection.number, None)

    async def turn(self) -> None:
        """Tick for ever. A turn that took too long delays the next ones; none is made up for."""
        for spoke in cycle(self._spokes):
            await asyncio.sleep(PERIOD_S / SPOKES)
            now_s = self._clock()
            for connection in tuple(spoke.values()):
                if connection.calm_until_s <= now_s:
                    connection.tick(now_s)
