"""One replication connection: bytes from the walsender into a bounded queue, status messages back. Decodes no rows.

The socket is always read. A walsender that cannot write may hold up a checkpoint, so when the queue is full this
connection is dropped, what is queued is still handed out, and the source resumes where that ends.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg
from psycopg import generators
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn

from tidewire.model.errors import DatabaseUnreachable, DecodeError
from tidewire.model.position import format_lsn
from tidewire.postgres.connection import connect_async, translate, translated
from tidewire.wal.protocol import KEEPALIVE, XLOG_DATA, XLOG_HEADER_BYTES, Keepalive, parse_keepalive
from tidewire.wal.standby import Standby

SESSION = (
    "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=1"
    " -c bytea_output=hex -c statement_timeout=0"
)
"""Text forms must not depend on how the database is configured."""

BURST = 512
"""Messages read before other callbacks get a turn; about 2 ms of decoding."""

TURN_S = 0.002
"""How long a busy stream may keep the event loop to itself."""

STATUS_INTERVAL_S = 1.0
SILENCE_S = 60.0
"""Each status message asks for an answer. A busy walsender may be late, but not by more than its own time limit."""

Item = bytes | Keepalive
"""A log message, or a keepalive in its place in the stream."""


async def connect_replication(dsn: str) -> psycopg.AsyncConnection[Any]:
    """Open a connection that speaks the replication protocol (and simple SQL). The caller closes it."""
    return await connect_async(
        dsn, replication="database", options=SESSION, keepalives_idle=10, keepalives_interval=5, keepalives_count=3
    )


class ReplicationStream:
    """A running START_REPLICATION. Iterate `batches()`; call `close()` when done."""

    def __init__(
        self,
        connection: psycopg.AsyncConnection[Any],
        standby: Standby,
        *,
        queue_bytes: int,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._connection = connection
        self._pgconn: PGconn = connection.pgconn
        self._standby = standby
        self._queue: list[Item] = []
        self._queued_bytes = 0
        self._queue_limit = queue_bytes
        self._silence_s = silence_s
        self._wake = asyncio.Event()
        self._ended: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = time.monotonic()
        self._socket = -1
        self._reading = False
        self._closed = False
        self.overflowed = False

    async def start(self, slot: str, publications: tuple[str, ...], at: int) -> None:
        """Ask for everything from `at` on. Raises our errors when Postgres refuses."""
        names = ",".join('"' + name.replace('"', '""') + '"' for name in publications)
        command = (
            f'START_REPLICATION SLOT "{slot}" LOGICAL {format_lsn(at)}'
            f" (proto_version '1', publication_names {_literal(names)}, messages 'true')"
        )
        self._pgconn.send_query(command.encode())
        with translated(f"starting replication from slot {slot}"):
            (result, *_) = await self._connection.wait(generators.execute(self._pgconn))
            if result.status != ExecStatus.COPY_BOTH:
                raise psycopg.errors.error_from_result(result)
        self._pgconn.nonblocking = 1
        self._socket = self._pgconn.socket  # remembered, because libpq forgets it when the connection breaks
        self._loop.add_reader(self._socket, self._drain)
        self._reading = True
        self._loop.call_soon(self._drain)
        self._tick()

    async def batches(self) -> AsyncIterator[list[Item]]:
        """Yield queued items in order until the connection ends; then raise why, unless the queue overflowed."""
        turn_ends_at = 0.0
        while not self._closed:
            if self._queue:
                batch, self._queue, self._queued_bytes = self._queue, [], 0
                yield batch
                self._drain()  # under load the next batch is there already; asking is cheaper than a turn of the loop
                if not self._queue or time.monotonic() > turn_ends_at:
                    await asyncio.sleep(0)
                    turn_ends_at = time.monotonic() + TURN_S
            elif self._ended is not None:
                raise self._ended
            elif self.overflowed:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    def send_status(self) -> None:
        """Tell Postgres now how far it may forget."""
        if not self._reading:
            return
        status = self._standby.status(now_us=time.time_ns() // 1000)
        try:
            self._pgconn.put_copy_data(status)
            if self._pgconn.flush() == 1:
                self._loop.add_writer(self._socket, self._flush)
        except psycopg.Error as error:
            self._end(translate(error, "answering the walsender"))

    async def close(self) -> None:
        """Say how far we are, and hang up."""
        self.send_status()
        self._stop_reading()
        self._closed = True
        self._wake.set()
        await self._connection.close()

    def _drain(self) -> None:
        """Move what has arrived into the queue. libpq buffers, so read until it has nothing left."""
        if not self._reading:
            return
        try:
            self._pgconn.consume_input()
            length = self._read_burst()
        except psycopg.Error as error:
            self._end(translate(error, "reading the log"))
        except DecodeError as error:
            self._end(error)
        else:
            if length == -1:
                self._end(self._copy_error())
            elif self.overflowed:
                self._pgconn.finish()  # at once: a walsender that waits for us to read may hold up a checkpoint
        self._heard_at = time.monotonic()
        self._wake.set()

    def _read_burst(self) -> int:
        """Queue up to BURST messages; return what libpq said last: 0 = no more for now, -1 = the stream has ended."""
        read, put = self._pgconn.get_copy_data, self._queue.append
        length = 0
        for _ in range(BURST):
            length, data = read(1)
            if length <= 0:
                break
            if data[0] == XLOG_DATA:
                put(bytes(data[XLOG_HEADER_BYTES:]))
                self._queued_bytes += length
            else:
                self._take_keepalive(bytes(data))
        else:
            self._loop.call_soon(self._drain)
        if self._queued_bytes > self._queue_limit:
            self.overflowed = True
            self._stop_reading()
        return length

    def _take_keepalive(self, data: bytes) -> None:
        if data[0] != KEEPALIVE:
            raise DecodeError(f"reading the replication stream: unknown message {data[:1]!r}")
        keepalive = parse_keepalive(data)
        self._standby.receive(keepalive.wal_end)
        self._queue.append(keepalive)
        if keepalive.reply_requested:
            self.send_status()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(STATUS_INTERVAL_S, self._tick)
        if time.monotonic() - self._heard_at > self._silence_s:
            self._end(DatabaseUnreachable(f"reading the log: nothing heard for {self._silence_s:g} s"))
        else:
            self.send_status()

    def _flush(self) -> None:
        try:
            if self._pgconn.flush() == 0:
                self._loop.remove_writer(self._socket)
        except psycopg.Error as error:
            self._end(translate(error, "answering the walsender"))

    def _copy_error(self) -> Exception:
        """Fetch why the copy ended; a clean end is a server that shuts down."""
        result = self._pgconn.get_result()
        if result is not None and result.status == ExecStatus.FATAL_ERROR:
            return translate(psycopg.errors.error_from_result(result), "reading the log")
        return DatabaseUnreachable("reading the log: the server closed the stream")

    def _end(self, error: Exception) -> None:
        self._ended = self._ended or error
        self._stop_reading()
        self._wake.set()

    def _stop_reading(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)


def _literal(text: str) -> str:
    """Quote for the replication grammar, which knows no parameters."""
    return "'" + text.replace("'", "''") + "'"
