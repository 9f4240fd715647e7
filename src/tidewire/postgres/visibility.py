"""Answers what of a change an audience may see, by the privileges of its role. Row-level security is not judged yet.

A table whose policies concern the role is hidden from it. What cannot be decided is hidden and reported, never shown.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import structlog
from msgspec import Struct

from tidewire.match.candidates import Ask
from tidewire.match.rule import TableAccess
from tidewire.model.change import ABSENT, Change, Row, Value
from tidewire.model.errors import DatabaseUnreachable, TidewireError
from tidewire.model.relation import Relation
from tidewire.ports import Sight
from tidewire.postgres.filter_answers import FilterAnswers, Question
from tidewire.postgres.tables import PostgresTables
from tidewire.wal.backoff import backoff_s

log = structlog.get_logger()

T = TypeVar("T")

PATIENCE_S: Final = 10.0
"""How long changes wait for a database that is away: a restart should cost nobody a change."""

_ALL: Final = Sight()
_UNAUTHORIZED: Final = Sight(errors=("Error 401: Unauthorized",))
_NO_KEY: Final = Sight(errors=("Error 400: Bad Request, no primary key",))


class _View(Struct, frozen=True):
    """What a role sees of the changes of one table; None for a table that it may know nothing of."""

    relation: Relation
    access: TableAccess | None
    rows: Sight | None = None
    deletions: Sight | None = None


class _Undecided(Struct, frozen=True):
    """The changes of one table for which one filter of one role is left to Postgres, by their places."""

    role: str
    view: _View
    filter: str
    places: list[int]


class PostgresVisibility:
    """Implements `ports.Visibility`. Waits for nothing while the privileges are known and no filter is undecided."""

    def __init__(self, tables: PostgresTables, filters: FilterAnswers, *, patience_s: float = PATIENCE_S) -> None:
        self._tables = tables
        self._filters = filters
        self._patience_s = patience_s

    async def visible(self, asks: Sequence[Ask]) -> Sequence[Sight | None]:
        """Answer each question; None hides the change."""
        deadline_s = asyncio.get_running_loop().time() + self._patience_s
        views: dict[tuple[str, int], _View] = {}
        answers: list[Sight | None] = []
        undecided: dict[tuple[str, int, str], _Undecided] = {}
        for place, ask in enumerate(asks):
            role, relation = ask.audience.role, ask.change.relation
            view = views.get((role, relation.oid))
            if view is None or view.relation is not relation:
                view = views[role, relation.oid] = await self._view(role, relation, deadline_s)
            sight = _sight(view, ask.change)
            answers.append(sight)
            if sight is not None and ask.filter:
                key = (role, id(relation), ask.filter)
                undecided.setdefault(key, _Undecided(role, view, ask.filter, [])).places.append(place)
        for group in undecided.values():
            held = await self._decide(group, [asks[place].change for place in group.places], deadline_s)
            for place, holds in zip(group.places, held, strict=True):
                if not holds:
                    answers[place] = None
        return answers

    async def _view(self, role: str, relation: Relation, deadline_s: float) -> _View:
        try:
            access = await _patiently(lambda: self._tables.access(role, relation), deadline_s)
        except TidewireError as error:
            _report(role, relation, error)
            access = None
        return _view(relation, access)

    async def _decide(self, group: _Undecided, changes: Sequence[Change], deadline_s: float) -> list[bool]:
        relation, access = group.view.relation, group.view.access
        readable = access.columns if access is not None else frozenset[str]()
        try:
            rows = [_row(change) for change in changes]
            question = Question(group.role, relation, group.filter, readable, rows)
            return await _patiently(lambda: self._filters.answer(question), deadline_s)
        except TidewireError as error:
            _report(group.role, relation, error)
            return [False] * len(changes)


async def _patiently(ask: Callable[[], Awaitable[T]], deadline_s: float) -> T:
    """Ask again while the database is away, until the deadline."""
    loop = asyncio.get_running_loop()
    attempt = 0
    while True:
        try:
            return await ask()
        except DatabaseUnreachable:
            left_s = deadline_s - loop.time()
            if left_s <= 0:
                raise
        await asyncio.sleep(min(left_s, backoff_s(attempt, random.random(), most_s=1.0)))  # noqa: S311 - spreads load
        attempt += 1


def _view(relation: Relation, access: TableAccess | None) -> _View:
    if access is None or not access.unrestricted:
        return _View(relation, access)
    if not access.has_key:
        return _View(relation, access, _NO_KEY, _NO_KEY)
    if not access.sees_key:
        return _View(relation, access, _UNAUTHORIZED)
    names = tuple(column.name for column in relation.columns)
    seen = tuple(name for name in names if name in access.columns)
    sight = _ALL if seen == names else Sight(columns=seen)
    return _View(relation, access, sight, sight)


def _sight(view: _View, change: Change) -> Sight | None:
    if change.operation == "DELETE":
        return view.deletions
    if change.operation == "TRUNCATE":  # shows no row, so a key is not needed, but some right to read is
        access = view.access
        return _ALL if access is not None and access.unrestricted and access.columns else None
    return view.rows


def _row(change: Change) -> Row:
    """Return the row that filters are about: the one that is gone, or the one that is there now."""
    row = change.old if change.operation == "DELETE" else change.new
    if row is not None:
        return row
    unknown: list[Value] = [ABSENT] * len(change.relation.columns)
    return tuple(unknown)


def _report(role: str, relation: Relation, error: TidewireError) -> None:
    log.error("changes_hidden", role=role, table=relation.qualified_name, reason=error.message)
