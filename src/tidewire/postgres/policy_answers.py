"""Has Postgres judge rows of the log by policies, for many sessions, each as if it were the only one.

The rows are offered in place of the table, which is not read. What is an error, or takes too long, is not visible; the
log says so without showing any value.
"""

import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final

import structlog
from msgspec import Struct

from tidewire.match.rule import Restriction
from tidewire.model.change import Row
from tidewire.model.relation import Relation
from tidewire.postgres import queries
from tidewire.postgres.channel_policies import storable
from tidewire.postgres.policy_asking import PolicyAsking
from tidewire.postgres.policy_judge import Judge, Session
from tidewire.postgres.policy_planning import PolicyPlanning, remember
from tidewire.postgres.policy_statement import Offer, Table, make_offer
from tidewire.postgres.pool import Pool

log = structlog.get_logger()

TIMEOUT_S: Final = 0.25
"""How long one session may hold up the changes of everybody."""
MOST_S: Final = 5.0
"""How long all sessions of a question may: the changes of a table whose policies take longer cannot be followed."""
REST_S: Final = 5.0
"""How long what took too long is not asked again."""
REPORT_S: Final = 60.0
"""How long a failure of the same kind is not reported again."""
_ALWAYS_SET: Final = "request.jwt.claims"
_UNDEFINED_COLUMN: Final = "42703"


Failed = Callable[[str], None]


class PolicyQuestion(Struct, frozen=True):
    """Which of these rows does the restriction let the role see, in each of these sessions?

    Rows are aligned with the relation's columns. A setting that only other sessions have is empty in this one. Names of
    settings have a dot in them: all others mean something to Postgres itself, such as the role.
    """

    role: str
    relation: Relation
    restriction: Restriction
    rows: Sequence[Row]
    sessions: Sequence[Mapping[str, str]]


class PolicyAnswers:
    """Answers questions, any number at a time. Needs a function in the database that `tidewire migrate` makes."""

    def __init__(
        self,
        pool: Pool,
        *,
        timeout_s: float = TIMEOUT_S,
        most_s: float = MOST_S,
        rest_s: float = REST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._judge = Judge(pool, timeout_s=timeout_s)
        self._planning = PolicyPlanning(self._judge)
        self._most_s = most_s
        self._rest_s = rest_s
        self._clock = clock
        self._resting: dict[Hashable, float] = {}
        self._reported: dict[Hashable, float] = {}

    async def answer(self, question: PolicyQuestion, *, failed: Failed | None = None) -> list[list[bool]]:
        """Return for each session whether it sees each of the rows. Raises our errors when Postgres cannot be asked.

        `failed` is told by which SQLSTATEs some of the sessions see nothing.
        """
        answers = [[False] * len(question.rows) for _ in question.sessions]
        names = _names(question)
        sessions = self._awake(question, names)
        table = await self._describe(question.relation) if sessions and question.rows else None
        if table is None:  # nobody to ask for, nothing to ask about, or the table is gone
            return answers
        offer = make_offer(table, question.relation, question.restriction, question.rows)
        tell = failed or _ignore
        if offer is None:
            self._report(question, _UNDEFINED_COLUMN, len(sessions))
            tell(_UNDEFINED_COLUMN)
            return answers
        if not offer.rows:
            return answers
        offer, sessions = await self._plan(question, offer, names, sessions, tell)
        deadline_s = self._clock() + self._most_s

        def show(session: int, place: int) -> None:
            answers[session][place] = True

        asking = PolicyAsking(
            self._judge, offer, question.role, names, in_time=lambda: self._clock() < deadline_s, show=show
        )
        await asking.run(sessions)
        self._conclude(question, asking, {session.number: session.values for session in sessions})
        for sqlstate in asking.failures:
            tell(sqlstate)
        return answers

    def _awake(self, question: PolicyQuestion, names: Sequence[str]) -> list[Session]:
        """Return the sessions that may be asked for now."""
        if self._holds(self._resting, _table(question)):
            return []
        values = (tuple(session.get(name, "") for name in names) for session in question.sessions)
        return [
            Session(number, each)
            for number, each in enumerate(values)
            if all(map(storable, each)) and not self._holds(self._resting, (*_table(question), each))
        ]

    async def _plan(
        self, question: PolicyQuestion, offer: Offer, names: Sequence[str], sessions: Sequence[Session], tell: Failed
    ) -> tuple[Offer, list[Session]]:
        """Return how to put the question, and the sessions in which Postgres would get as far as reading rows."""
        offer, failures = await self._planning.plan(offer, question.role, question.restriction, names, sessions)
        for failure, count in Counter(filter(None, failures)).items():
            self._report(question, failure, count)
            tell(failure)
        return offer, [session for session, failure in zip(sessions, failures, strict=True) if failure is None]

    async def _describe(self, relation: Relation) -> Table | None:
        """Return what the catalog says now; None when the table is gone."""
        asked = {"relation": relation.oid}
        rows = await self._pool.fetch("reading the columns of a table", queries.load("policy_columns"), asked)
        return Table(rows[0][0], rows[0][1], {name: type_ for _, _, name, type_ in rows}) if rows else None

    def _conclude(self, question: PolicyQuestion, asking: PolicyAsking, values: Mapping[int, tuple[str, ...]]) -> None:
        """Let rest what took too long, and report what failed."""
        for number in asking.tiresome:
            self._keep(self._resting, (*_table(question), values[number]), self._rest_s)
        if asking.overdue:
            self._keep(self._resting, _table(question), self._rest_s)
        if asking.overdue or asking.tiresome:
            log.warning(
                "policy_rests",
                role=question.role,
                table=question.relation.qualified_name,
                sessions="all" if asking.overdue else len(asking.tiresome),
                rest_s=self._rest_s,
            )
        for sqlstate, sessions in asking.failures.items():
            self._report(question, sqlstate, len(sessions))

    def _report(self, question: PolicyQuestion, sqlstate: str, sessions: int) -> None:
        key = (*_table(question), sqlstate)
        if not self._holds(self._reported, key):
            self._keep(self._reported, key, REPORT_S)
            table = question.relation.qualified_name
            log.warning("policy_failed", role=question.role, table=table, sqlstate=sqlstate, sessions=sessions)

    def _holds(self, kept: dict[Hashable, float], key: Hashable) -> bool:
        return bool(kept) and kept.get(key, 0.0) > self._clock()

    def _keep(self, kept: dict[Hashable, float], key: Hashable, for_s: float) -> None:
        remember(kept, key, self._clock() + for_s)


def _ignore(_sqlstate: str) -> None:
    """Most who ask want to know no more than who sees what."""


def _names(question: PolicyQuestion) -> tuple[str, ...]:
    """Return the names of all settings, of which there must be one."""
    names = {_ALWAYS_SET}.union(*question.sessions)
    for name in names:
        if "." not in name:
            raise ValueError(f"judging rows by policies: expected settings with a dot in their names, got {name}")
    return tuple(sorted(names))


def _table(question: PolicyQuestion) -> tuple[str, int]:
    return question.role, question.relation.oid
