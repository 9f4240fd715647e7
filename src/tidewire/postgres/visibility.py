"""Has Postgres decide what the matcher could not: filters and policies in doubt, of all changes in as few questions.

Whoever may see what by privileges is known already. What cannot be decided is hidden and reported, never shown.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Container, Hashable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, compress, count, repeat
from typing import Final, TypeVar

import structlog
from msgspec import Struct

from tidewire.match.candidates import Ask
from tidewire.match.finding import BY_FILTER, BY_POLICY, Doubt
from tidewire.match.rule import Rule
from tidewire.match.session import session_of
from tidewire.match.sight import Sight, see
from tidewire.match.subscription import Audience
from tidewire.model.change import ABSENT, Change, Row, Value
from tidewire.model.errors import DatabaseUnreachable, DecodeError, TidewireError
from tidewire.model.relation import Relation
from tidewire.postgres.filter_answers import FilterAnswers, Question
from tidewire.postgres.policy_answers import PolicyAnswers, PolicyQuestion
from tidewire.wal.backoff import backoff_s

log = structlog.get_logger()

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

PATIENCE_S: Final = 10.0
"""How long changes wait for a database that is away: a restart should cost nobody a change."""

_Place = tuple[int, bool]
"""The number of an ask, and whether it is about the old row."""


class _Group(Struct, frozen=True):
    """Rows of one table that one question is about, each with the places that want to know."""

    rule: Rule
    relation: Relation
    rows: dict[Row, list[_Place]]


class PostgresVisibility:
    """Implements `ports.Visibility`. Waits for nothing where nothing is in doubt."""

    def __init__(self, filters: FilterAnswers, policies: PolicyAnswers, *, patience_s: float = PATIENCE_S) -> None:
        self._filters = filters
        self._policies = policies
        self._patience_s = patience_s

    async def visible(self, asks: Sequence[Ask]) -> Sequence[Sight | None]:
        """Answer each question as `see` does; None hides the change."""
        hidden = await self._filtered_out(asks)
        hidden |= await self._forbidden(asks, hidden)
        return [
            None
            if ask.rule is None
            else see(
                ask.rule,
                ask.change,
                new=ask.new is not None and (number, False) not in hidden,
                old=ask.old is not None and (number, True) not in hidden,
            )
            for number, ask in enumerate(asks)
        ]

    async def seers(
        self, rule: Rule, relation: Relation, rows: Sequence[Row], audiences: Sequence[Audience]
    ) -> list[list[int]]:
        """Return for each row the places of the audiences that see it."""
        found: list[list[int]] = [[] for _ in rows]
        answers = await self._judge(rule, relation, rows, audiences)
        places = range(len(rows))
        for number, answer in enumerate(answers):
            for place in compress(places, answer):
                found[place].append(number)
        return found

    async def _filtered_out(self, asks: Sequence[Ask]) -> set[_Place]:
        """Return the rows for which a filter in doubt is not true. All audiences of a role share the question."""
        hidden: set[_Place] = set()
        for filter_, group in _gather(asks, BY_FILTER, lambda ask: ask.filter):
            rule = group.rule
            question = Question(rule.role, group.relation, filter_, rule.access.columns, list(group.rows))
            held = await self._ask(rule, group.relation, partial(self._filters.answer, question))
            hidden.update(_not_true(group, held or ()))
        return hidden

    async def _forbidden(self, asks: Sequence[Ask], hidden: Container[_Place]) -> set[_Place]:
        """Return the rows for which policies in doubt are not true, of those that are not `hidden` anyway."""
        found: set[_Place] = set()
        for audience, group in _gather(asks, BY_POLICY, lambda ask: ask.audience, but=hidden):
            (held,) = await self._judge(group.rule, group.relation, list(group.rows), [audience])
            found.update(_not_true(group, held))
        return found

    async def _judge(
        self, rule: Rule, relation: Relation, rows: Sequence[Row], audiences: Sequence[Audience]
    ) -> Sequence[Sequence[bool]]:
        """Return for each audience which of the rows its policies show."""
        if rule.restriction is None:
            return [[True] * len(rows)] * len(audiences)
        sessions = [session_of(rule, audience) for audience in audiences]
        question = PolicyQuestion(rule.role, relation, rule.restriction, rows, sessions)
        answers = await self._ask(rule, relation, partial(self._policies.answer, question))
        return [[False] * len(rows)] * len(audiences) if answers is None else answers

    async def _ask(self, rule: Rule, relation: Relation, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Ask, again and again while the database is away and patience lasts; None when there is no answer."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._patience_s
        for attempt in count():
            try:
                return await ask()
            except TidewireError as error:
                left_s = until_s - loop.time()
                if not isinstance(error, DatabaseUnreachable) or left_s <= 0:
                    log.error("changes_hidden", role=rule.role, table=relation.qualified_name, reason=error.message)  # noqa: TRY400 - the traceback would say no more
                    return None
            await asyncio.sleep(min(left_s, backoff_s(attempt, random.random(), most_s=1.0)))  # noqa: S311 - spreads load
        return None


def _gather(
    asks: Sequence[Ask], doubt: Doubt, by: Callable[[Ask], K], *, but: Container[_Place] = ()
) -> Iterable[tuple[K, _Group]]:
    """Return the rows that are in doubt for this reason, but for some, each group with what they were grouped by."""
    groups: dict[tuple[Rule, int, K], _Group] = {}
    for number, ask in enumerate(asks):
        for place, row in _doubted(number, ask, doubt):
            if ask.rule is not None and place not in but:
                key = (ask.rule, id(ask.change.relation), by(ask))
                group = groups.setdefault(key, _Group(ask.rule, ask.change.relation, {}))
                group.rows.setdefault(row, []).append(place)
    return ((key[2], group) for key, group in groups.items())


def _doubted(number: int, ask: Ask, doubt: Doubt) -> Iterator[tuple[_Place, Row]]:
    """Yield the rows of an ask that are in doubt for this reason."""
    change = ask.change
    for side, is_old in ((ask.new, False), (ask.old, True)):
        if side is not None and side & doubt:
            yield (number, is_old), _row(change, is_old=is_old)


def _not_true(group: _Group, held: Sequence[bool]) -> Iterator[_Place]:
    answers = chain(held, repeat(False))
    return (place for places, holds in zip(group.rows.values(), answers, strict=False) if not holds for place in places)


def _row(change: Change, *, is_old: bool) -> Row:
    """Return one of the rows; of one that is damaged nothing is known."""
    try:
        row = change.old if is_old else change.new
    except DecodeError:
        row = None
    unknown: list[Value] = [ABSENT] * len(change.relation.columns)
    return tuple(unknown) if row is None else row
