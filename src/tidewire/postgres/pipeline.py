"""Sends statements to Postgres all at once and hands back what it answers, as the bytes that came.

psycopg's own cursors make Python values, one object at a time, of what here only passes through: they took four times
as long as Postgres. Connections, results and errors are psycopg's; transactions are the caller's business.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import lru_cache
from typing import Final

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from tidewire.postgres.pool import Connection
from tidewire.query.statement import Statement, numbered

KEPT_STATEMENTS: Final = 100
"""How many statements a connection has Postgres keep."""
KEEP_FROM_USE: Final = 3
"""A text that comes for the third time is worth being kept, together with its plan."""
_COUNTED_TEXTS: Final = 1000
_NOTHING: Final = ("", b"")
"""Stands for a statement of our own, of whose result nothing is made."""

_numbered = lru_cache(2048)(numbered)


class Pipeline:
    """What one connection has been asked before. Lend it the connection that it was made with, one at a time."""

    def __init__(self, connection: Connection) -> None:
        self._pgconn = connection.pgconn
        self._uses: dict[str, int] = {}
        self._kept: dict[str, bytes] = {}
        """Names of kept statements by their texts, the one that was used last at the end."""
        self._made = 0
        self._pending: deque[tuple[str, bytes] | None] = deque()
        """What is to be answered yet: a text that is to be kept with its name, or None for a statement."""

    async def ask(self, statements: Sequence[Statement]) -> list[PGresult]:
        """Return the result of each statement. Raises psycopg's errors: the first, when all has been answered.

        What was not answered because of an error has not been done. Whoever gives up waiting loses the connection.
        """
        async with aclosing(self.stream(statements)) as results:
            return [result async for result in results]

    async def stream(
        self, statements: Sequence[Statement], *, chunked: int = -1, chunk_rows: int = 1
    ) -> AsyncGenerator[PGresult, None]:
        """Yield the results in order; the statement with the number `chunked` has one for each `chunk_rows` rows.

        Its last one is empty. Postgres is only read as fast as the iteration goes on. Errors are as above.
        """
        values = [[None if each is None else _encode(each) for each in one.parameters] for one in statements]
        pgconn, failure, over = self._pgconn, None, False
        try:
            pgconn.enter_pipeline_mode()
            self._send(statements, values)
            await self._flush()
            answered = 0
            while self._pending:
                kept = self._pending.popleft()
                if kept is None:
                    if answered == chunked and failure is None:  # otherwise nothing comes, which libpq cannot cut
                        pgconn.set_chunked_rows_mode(chunk_rows)
                    answered += 1
                while (result := await self._next()) is not None:
                    if result.status == ExecStatus.FATAL_ERROR:
                        failure = failure or error_from_result(result)
                    elif kept is not None:
                        self._note(kept, result)
                    elif result.status != ExecStatus.PIPELINE_ABORTED:
                        yield result
            await self._next()  # the end of the pipeline
            pgconn.exit_pipeline_mode()
            over = True
        finally:
            if not over:  # nobody knows what is still under way
                pgconn.finish()
        if failure is not None:
            raise failure

    def _send(self, statements: Sequence[Statement], values: Sequence[Sequence[bytes | None]]) -> None:
        pgconn = self._pgconn
        if len(self._kept) > KEPT_STATEMENTS:
            pgconn.send_query_params(b"deallocate " + self._kept.pop(next(iter(self._kept))), None)
            self._pending.append(_NOTHING)
        for statement, given in zip(statements, values, strict=True):
            text = statement.text
            name = self._kept.pop(text, None)
            if name is not None:
                self._kept[text] = name  # now it is the one that was used last
            elif self._is_worth_keeping(text):
                self._made += 1
                name = b"tidewire_%d" % self._made
                pgconn.send_prepare(name, _numbered(text))
                self._pending.append((text, name))
            if name is None:
                pgconn.send_query_params(_numbered(text), given)
            else:
                pgconn.send_query_prepared(name, given)
            self._pending.append(None)
        pgconn.pipeline_sync()

    def _is_worth_keeping(self, text: str) -> bool:
        if len(self._uses) >= _COUNTED_TEXTS:
            self._uses.clear()
        self._uses[text] = self._uses.get(text, 0) + 1
        return self._uses[text] >= KEEP_FROM_USE

    def _note(self, kept: tuple[str, bytes], result: PGresult) -> None:
        """Postgres has the statement from now on, whatever comes of the transaction."""
        text, name = kept
        if kept != _NOTHING and result.status == ExecStatus.COMMAND_OK:
            self._uses.pop(text, None)
            self._kept[text] = name

    async def _flush(self) -> None:
        while self._pgconn.flush():
            await self._wait(writing=True)
            self._pgconn.consume_input()  # who only writes while the other side does as well waits for ever

    async def _next(self) -> PGresult | None:
        while self._pgconn.is_busy():
            await self._wait()
            self._pgconn.consume_input()
        return self._pgconn.get_result()

    async def _wait(self, *, writing: bool = False) -> None:
        """Return when the socket has something to read, or with `writing` when it takes more."""
        loop, socket = asyncio.get_running_loop(), self._pgconn.socket
        ready = loop.create_future()
        loop.add_reader(socket, _wake, ready)
        if writing:
            loop.add_writer(socket, _wake, ready)
        try:
            await ready
        finally:
            loop.remove_reader(socket)
            if writing:
                loop.remove_writer(socket)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _encode(value: str) -> bytes:
    """Return what libpq takes, which ends a text at its first zero and says nothing."""
    if "\0" in value:
        raise psycopg.DataError("writing a parameter: expected no zero character in it, got one")
    return value.encode()
