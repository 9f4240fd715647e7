"""A network in front of a server that lets only some transports through, and may be cut and frozen like any other."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from tests.support.proxy import CHUNK_BYTES, BreakablePort, Pump, Stream

Rule = Literal["pass", "refuse", "mute", "gather"]
"""What becomes of a request: let through, hung up on, or never heard of again. `gather` holds back its answer only.

`mute` lets a WebSocket open first, as some networks do, and `gather` is a proxy that waits for the end of an answer."""


class NarrowNetwork(BreakablePort):
    """Rules are for paths that contain a word; `seen` are the paths that were asked for, in their order."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self.rules: dict[str, Rule] = {}
        self.seen: list[str] = []

    def _pumps(self, there: Stream, back: Stream) -> tuple[Pump, Pump]:
        rule: list[Rule] = ["pass"]  # what was asked for last decides about what is answered
        return self._ask(*there, rule), self._answer(*back, rule)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rule: list[Rule]) -> None:
        """Pass on what the client says. Connections are used for one request after the other."""
        try:
            while data := await reader.read(CHUNK_BYTES):
                await self._thawed.wait()
                if data.startswith((b"GET ", b"POST ", b"OPTIONS ")):
                    path = data.split(b" ", 2)[1].decode()
                    self.seen.append(path)
                    rule[0] = next((found for word, found in self.rules.items() if word in path), "pass")
                    if rule[0] == "refuse":
                        break
                elif rule[0] == "mute":
                    continue
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # one end has gone; closing below tells the other
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rule: list[Rule]) -> None:
        has_answered = False
        try:
            while data := await reader.read(CHUNK_BYTES):
                await self._thawed.wait()
                if rule[0] == "gather" or (rule[0] == "mute" and has_answered):
                    continue
                has_answered = True
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()


@contextmanager
def narrow_network(target_port: int, **rules: Rule) -> Iterator[NarrowNetwork]:
    """Stand between a client and a server: `narrow_network(port, websocket="refuse")`."""
    with NarrowNetwork(target_port) as network:
        network.rules.update(rules)
        yield network
