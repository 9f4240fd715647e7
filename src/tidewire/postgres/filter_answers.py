"""Asks Postgres about the filters that nobody else can answer, for rows of the log, with the rights of the reader.

No table is read. What is an error, or takes too long, is not true; the log says so without showing any value.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import psycopg
import structlog
from msgspec import Struct
from psycopg import errors as pg

from tidewire.filters.grammar import parse_filter
from tidewire.filters.sql import FilterQuery, filter_query
from tidewire.model.change import Row
from tidewire.model.errors import ConfigurationError, DatabaseUnreachable
from tidewire.model.relation import Relation
from tidewire.postgres.connection import translate
from tidewire.postgres.pool import Connection, Pool
from tidewire.postgres.probe import enter_role

log = structlog.get_logger()

TIMEOUT_S: Final = 0.25
"""How long one statement may hold up the changes of everybody."""
REST_S: Final = 5.0
"""How long a filter that took too long is not asked again."""
ROWS_AT_ONCE: Final = 100
CHARS_AT_ONCE: Final = 2**20
_MOST_RESTING: Final = 10_000
_DOING: Final = "answering a filter"

_Parameters = list[str | None]
_Asked = tuple[int, _Parameters]
"""The place of a row in the question, and what Postgres needs to know of it."""


class Question(Struct, frozen=True):
    """For which of these rows is the filter true? `readable` are the columns that the role may read now."""

    role: str
    relation: Relation
    filter: str
    readable: frozenset[str]
    rows: Sequence[Row]


class FilterAnswers:
    """Answers questions one after the other, each in a transaction that cannot write."""

    def __init__(
        self,
        pool: Pool,
        *,
        timeout_s: float = TIMEOUT_S,
        rest_s: float = REST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._timeout_ms = round(timeout_s * 1000)
        self._rest_s = rest_s
        self._clock = clock
        self._resting: dict[tuple[str, int, str], float] = {}

    async def answer(self, question: Question) -> list[bool]:
        """Return for each row whether the filter is true. Raises our errors when Postgres cannot be asked."""
        answers = [False] * len(question.rows)
        if self._resting.get(_key(question), 0.0) > self._clock():
            return answers
        try:
            conditions = parse_filter(question.filter)
            query = filter_query(conditions, question.relation)
        except ConfigurationError:  # the table has changed since
            _report(question, "the filter does not fit the table any more")
            return answers
        if not question.readable.issuperset(condition.column for condition in conditions):
            return answers  # what is delivered would tell what the column holds
        # None where the log does not carry a value: such a row needs no question.
        asked = [
            (place, values) for place, row in enumerate(question.rows) if (values := query.parameters(row)) is not None
        ]
        for part in _parts(asked):
            found = await self._ask(question, query, [values for _, values in part])
            if found is None:
                self._rest(_key(question))
                _report(question, "it took too long, and is not asked again for a while", rest_s=self._rest_s)
                break
            for (place, _), answer in zip(part, found, strict=True):
                answers[place] = answer
        return answers

    async def _ask(self, question: Question, query: FilterQuery, rows: Sequence[_Parameters]) -> list[bool] | None:
        """Ask about several rows at once; if one of them is an error, about each by itself. None: it takes too long."""
        answers: list[bool] = []
        async with self._pool.connection(_DOING) as connection:
            found = await self._execute(connection, question, query, rows)
            if isinstance(found, list):
                return found
            if isinstance(found, pg.QueryCanceled):
                return None
            _report(question, "Postgres refuses to apply it", sqlstate=found.sqlstate)
            if len(rows) == 1:
                return [False]
            for row in rows:
                found = await self._execute(connection, question, query, [row])
                if isinstance(found, pg.QueryCanceled):
                    return None
                answers += found if isinstance(found, list) else [False]
        return answers

    async def _execute(
        self, connection: Connection, question: Question, query: FilterQuery, rows: Sequence[_Parameters]
    ) -> list[bool] | psycopg.Error:
        await enter_role(connection, question.role, _DOING, limit_ms=self._timeout_ms)
        text = "select " + ", ".join([f"({query.text})"] * len(rows))
        try:
            cursor = await connection.execute(text.encode(), [value for row in rows for value in row])
            found: tuple[Any, ...] = await cursor.fetchone() or ()
        except psycopg.Error as error:
            if error.sqlstate is None or isinstance(translate(error, _DOING), DatabaseUnreachable):
                raise  # it is not the filter that it objects to
            return error
        finally:
            if not connection.closed:
                await connection.rollback()
        return [answer is True for answer in found]

    def _rest(self, key: tuple[str, int, str]) -> None:
        if len(self._resting) >= _MOST_RESTING:
            del self._resting[next(iter(self._resting))]
        self._resting[key] = self._clock() + self._rest_s


def _parts(asked: Sequence[_Asked]) -> Iterator[list[_Asked]]:
    """Cut into parts that one statement can ask about, each of at least one row."""
    part: list[_Asked] = []
    chars = 0
    for each in asked:
        size = sum(len(value) for value in each[1] if value is not None)
        if part and (len(part) == ROWS_AT_ONCE or chars + size > CHARS_AT_ONCE):
            yield part
            part, chars = [], 0
        part.append(each)
        chars += size
    if part:
        yield part


def _key(question: Question) -> tuple[str, int, str]:
    return question.role, question.relation.oid, question.filter


def _report(question: Question, why: str, **details: Any) -> None:
    log.warning(
        "filter_not_answered", role=question.role, table=question.relation.qualified_name, reason=why, **details
    )
