"""A TCP proxy that is a bad network: it drops, resets, swallows, half-closes, delays and reorders connections."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random
from types import TracebackType
from typing import Final, Literal, Self

Fault = Literal["drop", "reset", "black_hole", "half_close", "delay", "reorder"]

FAULTS: Final[tuple[Fault, ...]] = ("drop", "reset", "black_hole", "half_close", "delay")
"""What befalls a connection that is open; reordering is for those that are being made."""
CHUNK_BYTES: Final = 65536
LONGEST_DELAY_S: Final = 1.0
REORDERED: Final = 10
"""One of so many new connections has to wait, so that others overtake it."""
_RESET: Final = struct.pack("ii", 1, 0)


class _Pair:
    """Both ends of a connection, and whether anything gets through."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.ends = (client, server)
        self.open = asyncio.Event()
        self.open.set()

    def abort(self) -> None:
        for end in self.ends:
            end.transport.abort()


class ChaosProxy:
    """Listens on `port` of loopback in front of `target`. `disturb` strikes; `injected` counts faults by kind."""

    def __init__(self, target: int, dice: Random) -> None:
        self.port = 0
        self.injected: Counter[str] = Counter()
        self.calm = True
        """Whether new connections are let through at once."""
        self._target = target
        self._dice = dice
        self._made = 0
        self._deck: list[Fault] = []
        self._pairs: set[_Pair] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        while self._handlers:
            self.end_all()
            await asyncio.wait(self._handlers, timeout=LONGEST_DELAY_S)

    def disturb(self, part: float) -> None:
        """Let something befall so many of the open connections, each its own."""
        pairs = sorted(self._pairs, key=id)
        for pair in self._dice.sample(pairs, min(len(pairs), max(1, round(len(pairs) * part)))):
            fault = self._draw()
            self.injected[fault] += 1
            _STRIKES[fault](pair, self._dice)

    def _draw(self) -> Fault:
        """Return the faults in any order, but none twice before all have come."""
        if not self._deck:
            self._deck = self._dice.sample(FAULTS, len(FAULTS))
        return self._deck.pop()

    def end_all(self) -> None:
        """Break every connection, also those that are in a black hole."""
        for pair in list(self._pairs):
            pair.open.set()
            pair.abort()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        try:
            await self._pass(reader, writer)
        finally:
            self._handlers.discard(handler)
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._made += 1
        if not self.calm and self._made % REORDERED == 0:
            self.injected["reorder"] += 1
            await asyncio.sleep(self._dice.random() * LONGEST_DELAY_S)
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            return
        pair = _Pair(writer, target_writer)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass_on(reader, target_writer, pair))
                both.create_task(_pass_on(target_reader, writer, pair))
        finally:
            self._pairs.discard(pair)
            pair.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: _Pair) -> None:
    with suppress(OSError, RuntimeError):  # one end has gone, or is half closed: the other one is told below
        while data := await reader.read(CHUNK_BYTES):
            await pair.open.wait()
            writer.write(data)
            await writer.drain()
    for end in pair.ends:
        end.close()


def _drop(pair: _Pair, _dice: Random) -> None:
    for end in pair.ends:
        end.close()


def _reset(pair: _Pair, _dice: Random) -> None:
    for end in pair.ends:
        if (raw := end.get_extra_info("socket")) is not None:
            with suppress(OSError, ValueError):  # it may have gone just now
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    pair.abort()


def _swallow(pair: _Pair, _dice: Random) -> None:
    pair.open.clear()


def _half_close(pair: _Pair, dice: Random) -> None:
    end = dice.choice(pair.ends)
    with suppress(OSError, RuntimeError):  # it may have gone just now
        if end.can_write_eof():
            end.write_eof()


def _delay(pair: _Pair, dice: Random) -> None:
    pair.open.clear()
    asyncio.get_running_loop().call_later(dice.random() * LONGEST_DELAY_S, pair.open.set)


_STRIKES: Final[dict[Fault, Callable[[_Pair, Random], None]]] = {
    "drop": _drop,
    "reset": _reset,
    "black_hole": _swallow,
    "half_close": _half_close,
    "delay": _delay,
}
