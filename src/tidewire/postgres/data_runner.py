"""Runs one planned statement as a caller's role, with what policies and functions read of a request, in one round trip.

Does not plan, and keeps nothing: what the statement returned goes to whoever asked.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec
import psycopg
from msgspec import Struct
from psycopg.pq import TransactionStatus

from tidewire.model.claims import Claims
from tidewire.postgres import queries
from tidewire.postgres.channel_policies import storable
from tidewire.postgres.data_errors import refusal, unreadable
from tidewire.postgres.pool import Connection, Pool
from tidewire.query.statement import Statement

T = TypeVar("T")
Row = tuple[Any, ...]
Cursor = psycopg.AsyncCursor[Row]
Answer = Callable[[Row, Row | None], T]
"""Makes something of the statement's row and of that of the estimate, if there is one."""

DOING: Final = "answering a request"
PREPARE_AFTER: Final = 2
"""From the third time on, a connection has Postgres keep a statement's plan; psycopg holds a hundred of them each."""
_FALLBACK_PATH: Final = "public, extensions, pg_temp"
"""Where functions look for names after their own schema; temporary tables come last and can shadow nothing."""

_encode = msgspec.json.Encoder().encode


class Caller(Struct, frozen=True):
    """Whose request it is, and what policies and functions may read of it. Functions look for names in `schema`."""

    claims: Claims
    schema: str
    method: str
    path: str
    headers: Mapping[str, str]

    @property
    def is_anonymous(self) -> bool:
        return self.claims.role == "anon"


class Run(Struct, frozen=True):
    """A statement and how to end it: `writes` or not, `undone` whatever it says, or only kept once it was looked at.

    `estimate` has Postgres explain another statement in the same transaction.
    """

    statement: Statement
    writes: bool
    undone: bool = False
    looked_at: bool = False
    estimate: Statement | None = None


class DataRunner:
    """Give it a pool of its own: whoever asks for much must not keep the live side from its questions."""

    def __init__(self, pool: Pool, *, timeout_s: float) -> None:
        self._pool = pool
        self._limit_ms = str(round(timeout_s * 1000))

    async def run(self, run: Run, caller: Caller, answer: Answer[T]) -> T:
        """Return what `answer` makes of the one row of each statement. Raises QueryError when Postgres refuses.

        Nothing is kept of what was written when `answer` raises, if the run is to be `looked_at`. Raises our other
        errors when the database cannot be asked.
        """
        entering = self._entering(caller)
        async with self._pool.connection(DOING) as connection:
            connection.prepare_threshold = PREPARE_AFTER
            try:
                return await _run(connection, run, entering, answer)
            except psycopg.Error as error:
                refused = refusal(error, anonymous=caller.is_anonymous)
                if refused is None:
                    raise
                raise refused from None
            except UnicodeEncodeError:
                raise unreadable() from None
            finally:
                if not connection.closed and connection.info.transaction_status != TransactionStatus.IDLE:
                    await connection.rollback()

    def _entering(self, caller: Caller) -> Mapping[str, str]:
        claims = caller.claims
        subject = claims.subject or ""
        if not all(storable(text) for text in (claims.role, subject, caller.path)):
            raise unreadable()
        quoted = caller.schema.replace('"', '""')
        return {
            "limit_ms": self._limit_ms,
            "claims": _encode(claims.values).decode(),
            "subject": subject,
            "role": claims.role,
            "method": caller.method,
            "path": caller.path,
            "headers": _encode(caller.headers).decode(),
            "search_path": f'"{quoted}", {_FALLBACK_PATH}',
        }


async def _run(connection: Connection, run: Run, entering: Mapping[str, str], answer: Answer[T]) -> T:
    cursor, estimate = await _send(connection, run, entering)
    row = await cursor.fetchone()
    if row is None:
        raise RuntimeError("running a planned statement: expected one row, got none")
    answered = answer(row, None if estimate is None else await estimate.fetchone())
    if run.looked_at and not run.undone:
        await connection.execute("commit")
    return answered


async def _send(connection: Connection, run: Run, entering: Mapping[str, str]) -> tuple[Cursor, Cursor | None]:
    """Send everything, and return when all of it is answered. Raises the first failure: the rest is only skipped."""
    failure: psycopg.Error | None = None
    try:
        async with connection.pipeline():
            try:
                await connection.execute("begin" if run.writes else "begin read only")
                await connection.execute(queries.load("data_enter"), entering, prepare=True)
                estimate = None if run.estimate is None else await _execute(connection, run.estimate)
                cursor = await _execute(connection, run.statement)
                if run.undone or not run.looked_at:
                    await connection.execute("rollback" if run.undone else "commit")
            except psycopg.Error as early:  # an answer came while we still sent; psycopg would log it as ignored
                failure = early
    except psycopg.Error as late:
        failure = failure or late
    if failure is not None:
        raise failure
    return cursor, estimate


async def _execute(connection: Connection, statement: Statement) -> Cursor:
    return await connection.execute(statement.text, statement.parameters)
