"""Has Postgres say who sees which rows, in few questions: each costs a journey, however little it asks."""

from collections.abc import Sequence
from typing import Final

from tidewire.match.finding import Deferred, Finding
from tidewire.match.rule import Rule
from tidewire.match.stand import Seat
from tidewire.match.subscription import Audience
from tidewire.model.change import Row
from tidewire.model.relation import Relation
from tidewire.ports import Visibility

ASKED_AT_ONCE: Final = 200
"""About how many changes should be asked about at once: Postgres must answer within a limit."""
EXTRA: Final = 2
EXTRA_PAIRS: Final = 4096
"""What is asked for one row more and one reader more is asked for all pairs of rows and readers: twice as many as are
wanted at most, and so many more, which Postgres judges in the time of a journey."""

_Key = tuple[Rule, int, int]
"""The rule, and the identities of those who want to know and of the table's shape, both of which are held meanwhile."""


class _Wanted:
    """Rows of which the same readers want to know. Any coming or going makes others of these."""

    def __init__(self, seats: Sequence[Seat]) -> None:
        self.seats = seats
        self.rows: dict[Row, None] = {}


class _Question:
    """Rows of one table in one shape, and readers of one rule, by their numbers."""

    def __init__(self, rule: Rule, relation: Relation) -> None:
        self.rule = rule
        self.relation = relation
        self.rows: dict[Row, int] = {}
        self.audiences: dict[Audience, int] = {}
        self.found: Sequence[Sequence[int]] = ()
        """For each row who sees it."""
        self._wanted_pairs = 0

    def take(self, wanted: _Wanted) -> bool:
        """Ask about this as well, unless too much would be asked that nobody wants to know."""
        rows = self.rows.keys() | wanted.rows.keys()
        audiences = self.audiences.keys() | {seat.audience for seat in wanted.seats}
        pairs = self._wanted_pairs + len(wanted.rows) * len(wanted.seats)
        if len(rows) * len(audiences) > EXTRA * pairs + EXTRA_PAIRS:
            return False
        self._wanted_pairs = pairs
        for row in wanted.rows:
            self.rows.setdefault(row, len(self.rows))
        for seat in wanted.seats:
            self.audiences.setdefault(seat.audience, len(self.audiences))
        return True

    async def ask(self, visibility: Visibility) -> None:
        self.found = await visibility.seers(self.rule, self.relation, list(self.rows), list(self.audiences))

    def numbered(self, seats: Sequence[Seat]) -> dict[int, Seat]:
        """Return some of the readers by their numbers."""
        return {self.audiences[seat.audience]: seat for seat in seats}


async def admit(findings: Sequence[Finding], visibility: Visibility) -> None:
    """Ask about all rows that are left to Postgres, and tell the findings who sees them."""
    wanted: dict[_Key, _Wanted] = {}
    questions: dict[_Key, _Question] = {}
    asked: list[_Question] = []
    latest: dict[tuple[Rule, int], _Question] = {}
    for finding in findings:
        for deferred in finding.deferred:
            one = wanted.setdefault(_key(finding, deferred), _Wanted(deferred.seats))
            one.rows |= {row: None for row in (deferred.row, deferred.old) if row is not None}
    relations = {id(finding.change.relation): finding.change.relation for finding in findings}
    for key, one in wanted.items():
        rule, _, relation = key
        question = latest.get((rule, relation))
        if question is None or not question.take(one):
            question = latest[rule, relation] = _Question(rule, relations[relation])
            question.take(one)
            asked.append(question)
        questions[key] = question
    for question in asked:
        await question.ask(visibility)
    seats = {key: questions[key].numbered(one.seats) for key, one in wanted.items()}
    for finding in findings:
        for deferred in finding.deferred:
            key = _key(finding, deferred)
            question = questions[key]
            sees_old = frozenset(question.found[question.rows[deferred.old]] if deferred.old is not None else ())
            for number in question.found[question.rows[deferred.row]]:
                if (seat := seats[key].get(number)) is not None:
                    finding.admit(deferred, seat, sees_old=number in sees_old)


def _key(finding: Finding, deferred: Deferred) -> _Key:
    return deferred.rule, id(deferred.seats), id(finding.change.relation)
