"""A proxy that breaks or slows connections on demand, between unix sockets or ports. Runs in a thread, for any test.

Do not call blocking functions of `psycopg.pq` through it: those keep the interpreter's lock, so the proxy stands still.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

VERB_LIMIT_S = 5.0
CHUNK_BYTES = 65536

Pump = Coroutine[Any, Any, None]


class Stream(NamedTuple):
    """One direction of a connection: where bytes come from, and where they go."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class BreakableProxy:
    """Connect to `dsn`; then cut, refuse or freeze. Every verb has taken effect when it returns."""

    def __init__(self, listen: Path, target: Path, *, dsn: str) -> None:
        self.dsn = dsn
        self._listen = listen
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="breakable-proxy", daemon=True)
        self._thawed = asyncio.Event()
        self._chunk_bytes = CHUNK_BYTES
        self._pause_s = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        self.thaw()
        self.accept()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(VERB_LIMIT_S)
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._writers) // 2

    def cut(self) -> None:
        """Break every open connection at once; new ones still come through."""
        self._run(self._cut())

    def refuse(self) -> None:
        """Refuse new connections; open ones stay."""
        self._run(self._refuse())

    def accept(self) -> None:
        """Accept new connections again."""
        self._run(self._accept())

    def freeze(self) -> None:
        """Let nothing through in either direction, without closing anything: the network has become a black hole."""
        self._loop.call_soon_threadsafe(self._thawed.clear)
        self._run(asyncio.sleep(0))

    def thaw(self) -> None:
        """Let everything through again, what was held back first."""
        self._loop.call_soon_threadsafe(self._thawed.set)
        self._run(asyncio.sleep(0))

    def trickle(self, chunk_bytes: int, pause_s: float) -> None:
        """Let only so much through at a time, in either direction, until told otherwise."""
        self._chunk_bytes, self._pause_s = chunk_bytes, pause_s

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(VERB_LIMIT_S)

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _refuse(self) -> None:
        await self._stop_listening()
        self._listen.unlink(missing_ok=True)

    async def _stop_listening(self) -> None:
        if self._server is None:
            return
        for listener in self._server.sockets:
            self._loop.remove_reader(listener.fileno())
        for _ in range(3):  # until whoever is just coming in has a handler: a listener that closes before leaks them
            await asyncio.sleep(0)
        self._server.close()
        self._server = None

    async def _accept(self) -> None:
        if self._server is None:
            self._server = await self._start()

    async def _start(self) -> asyncio.Server:
        return await asyncio.start_unix_server(self._handle, self._listen)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self._target)

    async def _close(self) -> None:
        await self._refuse()
        await self._cut()
        self._thawed.set()  # handlers that were frozen must see that their connection has gone
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await self._connect()
        except OSError:
            writer.transport.abort()  # the server is down, so the reader of the proxy sees the same
            return
        pair = {writer, target_writer}
        self._writers |= pair
        there, back = self._pumps(Stream(reader, target_writer), Stream(target_reader, writer))
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(there)
                both.create_task(back)
        finally:
            self._writers -= pair
            for end in pair:
                end.transport.abort()

    def _pumps(self, there: Stream, back: Stream) -> tuple[Pump, Pump]:
        """Make what carries one connection's bytes to the target, and what carries them back; ends when both have."""
        pair = {there.writer, back.writer}
        return self._pass_on(there.reader, there.writer, pair), self._pass_on(back.reader, back.writer, pair)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: set[asyncio.StreamWriter]
    ) -> None:
        try:
            while data := await reader.read(self._chunk_bytes):
                await self._thawed.wait()
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(self._pause_s)
        except OSError:
            pass  # one end has gone; closing both below tells the other
        for end in pair:
            end.close()  # after what is still in the buffers


class BreakablePort(BreakableProxy):
    """The same in front of a port of this machine; `port` is its own."""

    def __init__(self, target_port: int) -> None:
        super().__init__(Path(os.devnull), Path(os.devnull), dsn="")
        self._target_port = target_port
        self.port = 0

    async def _start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._handle, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._target_port)

    async def _refuse(self) -> None:
        await self._stop_listening()
