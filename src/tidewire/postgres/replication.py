"""One replication connection: bytes from the walsender into a bounded queue, status messages back. Decodes no rows.

The socket is always read. A walsender that cannot write may hold up a checkpoint, so when the queue is full this
connection is dropped, what is queued is still handed out, and the source resumes where that ends.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import psycopg

from tidewire.model.errors import DatabaseUnreachable, TidewireError
from tidewire.model.position import format_lsn
from tidewire.postgres.channel import Channel, open_channel
from tidewire.postgres.connection import connect_async, translate_sqlstate
from tidewire.wal.frontend import Ended, Logged, Started
from tidewire.wal.protocol import Keepalive
from tidewire.wal.standby import Standby

SESSION = (
    "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=1"
    " -c bytea_output=hex -c statement_timeout=0"
)
"""Text forms must not depend on how the database is configured."""

PROBES: Mapping[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""A server that vanished is noticed within half a minute, also while we wait for its answer to a query."""

TURN_S = 0.002
"""How long a busy stream may keep the event loop to itself."""

STATUS_INTERVAL_S = 1.0
SILENCE_S = 60.0
"""Each status message asks for an answer. A busy walsender may be late, but not by more than its own time limit."""


BLOCK_KIB = 4096
"""A transaction that takes more of the walsender's memory is sent while it runs, in blocks of this size. What
commits meanwhile waits for one block, some 50 ms. Postgres counts what keeping a row takes: some 200 bytes and more."""


async def connect_replication(dsn: str, *, block_kib: int | None = None) -> psycopg.AsyncConnection[Any]:
    """Open a connection that speaks the replication protocol (and simple SQL). The caller closes it.

    `block_kib` is for a stream of blocks; without it the server's own limit counts.
    """
    options = SESSION if block_kib is None else f"{SESSION} -c logical_decoding_work_mem={block_kib}kB"
    return await connect_async(dsn, replication="database", options=options, **PROBES)


class ReplicationStream:
    """A running START_REPLICATION. Iterate `batches()`; call `close()` when done."""

    def __init__(
        self,
        connection: psycopg.AsyncConnection[Any],
        standby: Standby,
        *,
        queue_bytes: int,
        silence_s: float = SILENCE_S,
        channel: Channel | None = None,
    ) -> None:
        self._connection = connection
        self._channel = channel or open_channel(connection)
        self._standby = standby
        self._queue: list[Logged] = []
        self._queued_bytes = 0
        self._queue_limit = queue_bytes
        self._silence_s = silence_s
        self._wake = asyncio.Event()
        self._ended: TidewireError | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = time.monotonic()
        self._started = self._reading = self._closed = False
        self._fileno = -1
        self.overflowed = False

    async def start(self, slot: str, publications: tuple[str, ...], at: int, *, in_blocks: bool = False) -> None:
        """Ask for everything from `at` on, large transactions `in_blocks` while they run or each in one piece.

        Raises our errors when Postgres refuses.
        """
        names = ",".join('"' + name.replace('"', '""') + '"' for name in publications)
        way = "proto_version '2', streaming 'on'" if in_blocks else "proto_version '1'"
        self._channel.start(
            f'START_REPLICATION SLOT "{slot}" LOGICAL {format_lsn(at)}'
            f" ({way}, publication_names {_literal(names)}, messages 'true')"
        )
        self._reading = True
        self._fileno = self._channel.fileno
        self._loop.add_reader(self._fileno, self._drain)
        self._timer = self._loop.call_later(STATUS_INTERVAL_S, self._tick)
        while not self._started and self._ended is None:
            self._wake.clear()
            await self._wake.wait()
        if not self._started and self._ended is not None:
            raise self._ended
        self.send_status()

    async def batches(self) -> AsyncIterator[list[Logged]]:
        """Yield queued items in order until the connection ends; then raise why, unless the queue overflowed."""
        turn_ends_at = 0.0
        while not self._closed:
            if self._queue:
                batch, self._queue, self._queued_bytes = self._queue, [], 0
                yield batch
                self._drain()  # under load the next batch is there already; asking is cheaper than a turn of the loop
                if self._queue and time.monotonic() > turn_ends_at:
                    await asyncio.sleep(0)
                    turn_ends_at = time.monotonic() + TURN_S
            elif self._ended is not None:
                raise self._ended
            elif self.overflowed:
                return
            else:
                self._wake.clear()
                await self._wake.wait()
                turn_ends_at = time.monotonic() + TURN_S

    def send_status(self, *, asked: bool = False) -> None:
        """Tell Postgres now how far it may forget; `asked` when it wants an answer."""
        if not self._reading or not self._started:
            return
        try:
            self._channel.send(self._standby.status(now_us=time.time_ns() // 1000, asked=asked))
            if self._channel.unsent:
                self._loop.add_writer(self._fileno, self._flush)
        except TidewireError as error:
            self._end(error)

    async def close(self) -> None:
        """Say how far we are, and hang up."""
        self.send_status()
        self._stop_reading()
        self._closed = True
        self._wake.set()
        self._channel.close()
        await self._connection.close()

    def _drain(self) -> None:
        """Move what has arrived into the queue."""
        if not self._reading:
            return
        try:
            received = self._channel.receive()
            if received.arrived:
                self._heard_at = time.monotonic()
            if not received.size and not received.others:
                return
            self._queue += received.logged
            self._queued_bytes += received.size
            for item in received.others:
                self._take(item)
        except TidewireError as error:
            self._end(error)
        if self._channel.pending:
            self._loop.call_soon(self._drain)
        if self._queued_bytes > self._queue_limit:
            self.overflowed = True
            self._stop_reading()
            self._channel.close()  # at once: a walsender that waits for us to read may hold up a checkpoint
        self._wake.set()

    def _take(self, item: Keepalive | Started | Ended) -> None:
        if isinstance(item, Keepalive):
            self._standby.receive(item.wal_end)
            if item.reply_requested:
                self.send_status(asked=True)
        elif isinstance(item, Started):
            self._started = True
        else:
            self._end(_explain(item))

    def _tick(self) -> None:
        self._timer = self._loop.call_later(STATUS_INTERVAL_S, self._tick)
        if time.monotonic() - self._heard_at > self._silence_s:
            self._end(DatabaseUnreachable(f"reading the log: nothing heard for {self._silence_s:g} s"))
        else:
            self.send_status()

    def _flush(self) -> None:
        try:
            self._channel.flush()
            if not self._channel.unsent:
                self._loop.remove_writer(self._fileno)
        except TidewireError as error:
            self._end(error)

    def _end(self, error: TidewireError) -> None:
        self._ended = self._ended or error
        self._stop_reading()
        self._wake.set()

    def _stop_reading(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fileno)
            self._loop.remove_writer(self._fileno)


def _explain(end: Ended) -> TidewireError:
    """A stream that ends without a reason is a server that shuts down."""
    if not end.sqlstate:
        return DatabaseUnreachable(f"reading the log: {end.message}")
    return translate_sqlstate(end.sqlstate, f"reading the log: {end.message}")


def _literal(text: str) -> str:
    """Quote for the replication grammar, which knows no parameters."""
    return "'" + text.replace("'", "''") + "'"
