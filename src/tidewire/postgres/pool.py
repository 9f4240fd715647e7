"""A few connections that everything shares which is asked of Postgres beside the log. Bounded; runs nothing by itself.

psycopg_pool was considered: while the server is away it lets everybody wait for the whole limit and then says only that
it took too long. Here whoever asks is told at once why there is no connection, and there are no tasks to look after.
"""

import asyncio
import random
import select
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, LiteralString

import psycopg
from psycopg.pq import TransactionStatus

from tidewire.model.errors import PoolExhausted, PostgresError, TidewireError
from tidewire.postgres import queries
from tidewire.postgres.connection import bounded, connect_async, translated
from tidewire.wal.backoff import backoff_s

SIZE: Final = 4
WAIT_S: Final = 5.0
QUERY_TIMEOUT_S: Final = 5.0
GRACE_S: Final = 2.0
"""How much longer than a statement may run we wait for Postgres to say that it has stopped it."""
MOST_PAUSE_S: Final = 1.0
"""The longest pause between attempts to connect: when the server is back, readers must not wait for us."""

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


class Pool:
    """Borrow a `connection` for one short question, or `fetch` the rows of one query. Call `close` at the end.

    Connections are made when needed and kept. Sessions read and write times in UTC and find operators only in schemas
    in which not everybody may create any. Raises our errors only.
    """

    def __init__(
        self, dsn: str, *, size: int = SIZE, wait_s: float = WAIT_S, query_timeout_s: float = QUERY_TIMEOUT_S
    ) -> None:
        self._dsn = dsn
        self._size = size
        self._wait_s = wait_s
        self._query_timeout_s = query_timeout_s
        self._places = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._failure: TidewireError | None = None
        self._failures = 0
        self._next_attempt_s = 0.0
        self._closed = False

    @asynccontextmanager
    async def connection(self, doing: str) -> AsyncIterator[Connection]:
        """Lend a connection in autocommit mode; `doing` begins the message of any error inside.

        Leave no transaction and no setting of the session behind. Whoever keeps it for longer than a statement may run
        and a little more is cut off.
        """
        await self._wait_for_place(doing)
        try:
            connection = await self._take(doing)
            try:
                with translated(doing), bounded(connection, self._query_timeout_s + GRACE_S):
                    yield connection
            finally:
                await self._give_back(connection)
        finally:
            self._places.release()

    async def fetch(self, doing: str, query: LiteralString, parameters: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """Run one query and return its rows; the caller bounds how many there can be."""
        async with self.connection(doing) as connection:
            cursor = await connection.execute(query, parameters)
            return await cursor.fetchall()

    async def close(self) -> None:
        """Close what is idle now, and what is lent when it comes back. Asking afterwards is an error."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()

    async def _wait_for_place(self, doing: str) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError:
            raise PoolExhausted(
                f"{doing}: expected one of {self._size} connections to be free within {self._wait_s:g} s, got none"
            ) from None

    async def _take(self, doing: str) -> Connection:
        if self._closed:
            raise PostgresError(f"{doing}: expected an open pool, got a closed one")
        while self._idle:
            connection = self._idle.pop()
            if not _has_ended(connection):
                return connection
            await connection.close()
        now_s = asyncio.get_running_loop().time()
        if self._failure is not None and now_s < self._next_attempt_s:
            # Not the same object: tracebacks would pile up in it.
            raise type(self._failure)(self._failure.message, hint=self._failure.hint)
        try:
            connection = await self._connect()
        except TidewireError as error:
            self._failure = error
            pause_s = backoff_s(self._failures, random.random(), most_s=MOST_PAUSE_S)  # noqa: S311 - spreads load
            self._next_attempt_s = asyncio.get_running_loop().time() + pause_s
            self._failures += 1
            raise
        self._failure, self._failures = None, 0
        return connection

    async def _connect(self) -> Connection:
        connection: Connection = await connect_async(self._dsn)
        try:
            connection.prepare_threshold = None  # the server may see us through a pooler, and texts vary
            limit_ms = str(round(self._query_timeout_s * 1000))
            with translated("preparing a session"), bounded(connection, self._query_timeout_s):
                await connection.execute(queries.load("pool_session"), {"limit_ms": limit_ms})
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _give_back(self, connection: Connection) -> None:
        if self._closed or connection.closed or connection.info.transaction_status != TransactionStatus.IDLE:
            await connection.close()  # after an error or a cancellation nobody knows what state it is in
        else:
            self._idle.append(connection)


def _has_ended(connection: Connection) -> bool:
    """Tell whether the server has hung up: an idle connection has nothing else to say that must not be lost."""
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
