"""Runs one planned statement as a caller's role, with what policies and functions read of a request, in one round trip.

Does not plan, and keeps nothing: what the statement returned goes to whoever asked.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

import msgspec
import psycopg
from msgspec import Struct
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult

from tidewire.model.claims import Claims
from tidewire.postgres import queries
from tidewire.postgres.channel_policies import storable
from tidewire.postgres.data_errors import refusal, unreadable
from tidewire.postgres.pipeline import Pipeline
from tidewire.postgres.pool import Connection, Pool
from tidewire.query.statement import Statement

T = TypeVar("T")
Row = tuple[bytes | None, ...]
"""What Postgres returned, as the text that it wrote."""
Answer = Callable[[Row, Row | None], T]
"""Makes something of the statement's row and of that of the estimate, if there is one."""

DOING: Final = "answering a request"
_FALLBACK_PATH: Final = "public, extensions, pg_temp"
"""Where functions look for names after their own schema; temporary tables come last and can shadow nothing."""

_READ_WRITE, _READ_ONLY = Statement("begin"), Statement("begin read only")
_COMMIT, _ROLLBACK = Statement("commit"), Statement("rollback")
ENTERING: Final = 2
"""So many results come before those of the caller's statements."""
CHUNK_ROWS: Final = 32
"""So many rows of a list are in memory at once, as a rule."""

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
        self.timeout_s = timeout_s
        self._pool = pool
        self._limit_ms = str(round(timeout_s * 1000))
        self._pipelines: WeakKeyDictionary[Connection, Pipeline] = WeakKeyDictionary()

    async def run(self, run: Run, caller: Caller, answer: Answer[T]) -> T:
        """Return what `answer` makes of the one row of each statement. Raises QueryError when Postgres refuses.

        Nothing is kept of what was written when `answer` raises, if the run is to be `looked_at`. Raises our other
        errors when the database cannot be asked.
        """
        asked, at = self._all(run, caller)
        async with self._lent(caller) as pipeline:
            results = await pipeline.ask(asked)
            answered = answer(_row(results[at]), None if run.estimate is None else _row(results[at - 1]))
            if run.looked_at and not run.undone:
                await pipeline.ask([_COMMIT])
            return answered

    async def stream(self, run: Run, caller: Caller) -> AsyncGenerator[Sequence[Row], None]:
        """Yield the rows of the statement, some at a time; those of the estimate, if there is one, come by themselves.

        Postgres is read as fast as the iteration goes on, and its connection kept until it ends: close it in any case.
        Raises as `run` does.
        """
        asked, at = self._all(run, caller)
        async with (
            self._lent(caller) as pipeline,
            aclosing(pipeline.stream(asked, chunked=at, chunk_rows=CHUNK_ROWS)) as results,
        ):
            entered = 0
            async for result in results:
                entered += 1
                if entered > ENTERING and result.ntuples:
                    yield _rows(result)

    def _all(self, run: Run, caller: Caller) -> tuple[list[Statement], int]:
        """Return the whole transaction, as far as it can be said beforehand, and the place of the statement in it."""
        asked = [_READ_WRITE if run.writes else _READ_ONLY, self._entering(caller)]
        if run.estimate is not None:
            asked.append(run.estimate)
        asked.append(run.statement)
        at = len(asked) - 1
        if run.undone or not run.looked_at:
            asked.append(_ROLLBACK if run.undone else _COMMIT)
        return asked, at

    @asynccontextmanager
    async def _lent(self, caller: Caller) -> AsyncIterator[Pipeline]:
        """Lend a connection, and undo what is not over at the end. Raises QueryError for what Postgres refuses."""
        async with self._pool.connection(DOING) as connection:
            pipeline = self._pipelines.get(connection)
            if pipeline is None:
                pipeline = self._pipelines[connection] = Pipeline(connection)
            try:
                yield pipeline
            except psycopg.Error as error:
                refused = refusal(error, anonymous=caller.is_anonymous)
                if refused is None:
                    raise
                raise refused from None
            except UnicodeEncodeError:
                raise unreadable() from None
            finally:
                if connection.pgconn.transaction_status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}:
                    await pipeline.ask([_ROLLBACK])

    def _entering(self, caller: Caller) -> Statement:
        claims = caller.claims
        subject = claims.subject or ""
        if not all(storable(text) for text in (claims.role, subject, caller.path)):
            raise unreadable()
        quoted = caller.schema.replace('"', '""')
        return Statement(
            queries.load("data_enter"),
            (
                self._limit_ms,
                _encode(claims.values).decode(),
                subject,
                claims.role,
                caller.method,
                caller.path,
                _encode(caller.headers).decode(),
                f'"{quoted}", {_FALLBACK_PATH}',
                claims.role,
            ),
        )


def _row(result: PGresult) -> Row:
    if result.ntuples != 1:
        raise RuntimeError(f"running a planned statement: expected one row, got {result.ntuples}")
    return _rows(result)[0]


def _rows(result: PGresult) -> list[Row]:
    columns = range(result.nfields)
    return [tuple([result.get_value(row, column) for column in columns]) for row in range(result.ntuples)]
