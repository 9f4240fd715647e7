"""Turns matched cohorts into questions for row-level security, and the answers into deliveries. Asks nobody itself."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from tidewire.match.finding import BY_FILTER, CERTAIN, Broken, Doubt, Finding
from tidewire.match.rule import Rule
from tidewire.match.subscription import Audience, Cohort, Receivers, Select
from tidewire.model.change import Change

Answer = TypeVar("Answer", bound=Hashable)
"""What an audience may see of a change, in the terms of whoever answers; equal answers share one encoding."""


class Ask(Struct, frozen=True, gc=False):
    """May this audience see this change? The answer says what of it, or None for nothing at all.

    `new` and `old` are what is in doubt about the two rows, None for one that this audience is not to see: where it is
    BY_FILTER, Postgres has to find `filter` true, and where it is BY_POLICY, the restriction of the `rule`.
    """

    change: Change
    audience: Audience
    filter: str = ""
    rule: Rule | None = None
    new: Doubt | None = CERTAIN
    old: Doubt | None = CERTAIN


class Delivery(Struct, Generic[Answer], frozen=True, gc=False):
    """Encode the change once for `select` and `answer`, then send it to all receivers, one frame for each of them.

    No channel appears twice: the ids of all its bindings that match are in one frame. But those who follow `moves`,
    which is the event that they asked for, get theirs apart: a row may come or go for them that changes for others.
    """

    change: Change
    select: Select
    moves: str
    answer: Answer
    receivers: Sequence[Receivers]


Matched = tuple[Cohort, Receivers]
"""A cohort, and who was in it when the change came."""

_Question = tuple[Audience, str, Doubt | None, Doubt | None]

_Group = tuple[_Question, Select, str]

View = tuple[int, Select, str, list[Matched]]
"""The number of the ask, and who is to see the columns of `select`, or `moves`, if the answer allows."""


class Candidates:
    """Who wishes to hear of some changes. Answer every one of `asks`, in order, then take the deliveries.

    Between the two, subscriptions may come and go: those gone get nothing more, those new get nothing of this. A
    channel that leaves and joins again with the same bindings may count as never gone. Handle `broken` in any case.
    """

    __slots__ = ("_asks", "_changes", "broken", "failed", "findings")

    def __init__(
        self, findings: Sequence[Finding] = (), broken: Sequence[Broken] = (), failed: Sequence[Rule] = ()
    ) -> None:
        self.findings = findings
        self.broken = broken
        self.failed = failed
        """Rules that are an error with the claims of somebody, who is shown nothing for that."""
        self._asks: list[Ask] | None = None
        self._changes: list[tuple[Change, list[View]]] = []
        if not any(finding.deferred for finding in findings):
            self._gather()  # now, so that those who come later are not among them
            return
        for finding in findings:
            finding.hold()

    @property
    def doubtful(self) -> set[int]:
        """The numbers of the tables about which Postgres has to be asked."""
        found = {each.change.relation.oid for each in self.findings if each.deferred}
        if any(each.sides for each in self.findings):
            found |= {ask.change.relation.oid for ask in self.asks if ask.new or ask.old}
        return found

    @property
    def in_doubt(self) -> int:
        """About how many of the changes Postgres has to be asked, at most."""
        return sum(bool(each.deferred or each.sides) for each in self.findings)

    @property
    def asks(self) -> Sequence[Ask]:
        """What to ask. Before that, every deferred question of the findings has to be answered."""
        return self._gather() if self._asks is None else self._asks

    def _gather(self) -> list[Ask]:
        asks: list[Ask] = []
        self._asks = asks
        self._changes = [(finding.change, _by_view(finding, asks)) for finding in self.findings]
        return asks

    def deliveries(self, answers: Sequence[Answer | None]) -> Iterator[Delivery[Answer]]:
        """Yield what to send, in the order of the changes. `answers` belong to `asks` one by one."""
        asks = self.asks
        if len(answers) != len(asks):
            raise ValueError(f"expected {len(asks)} answers, got {len(answers)}")
        for change, views in self._changes:
            visible: dict[tuple[Select, str, Answer], list[Matched]] = {}
            for ask, select, moves, matched in views:
                answer = answers[ask]
                if answer is None:
                    continue
                others = visible.get((select, moves, answer))
                visible[select, moves, answer] = matched if others is None else others + matched
            for (select, moves, answer), matched in visible.items():
                if receivers := _receivers(matched):
                    yield Delivery(change, select, moves, answer, receivers)


def _by_view(finding: Finding, asks: list[Ask]) -> list[View]:
    """Group by what is to be seen, and ask once for each audience."""
    change, rules, earlier = finding.change, finding.rules, finding.earlier
    if len(finding.cohorts) == 1 and not finding.sides and not earlier:  # what an equality on a key mostly finds
        cohort = finding.cohorts[0]
        asks.append(Ask(change, cohort.audience, "", rules.get(cohort.audience.role)))
        return [(len(asks) - 1, cohort.select, cohort.moves, [(cohort, cohort.receivers())])]
    views: dict[_Group, list[Matched]] = {}
    for cohort in finding.cohorts:
        view: _Group = ((cohort.audience, "", CERTAIN, CERTAIN), cohort.select, cohort.moves)
        if (others := views.get(view)) is None:
            views[view] = [(cohort, earlier.get(cohort) or cohort.receivers())]
        else:
            others.append((cohort, earlier.get(cohort) or cohort.receivers()))
    for cohort, (new, old) in finding.sides.items():
        filter_ = cohort.wish.filter if ((new or 0) | (old or 0)) & BY_FILTER else ""
        view = ((cohort.audience, filter_, new, old), cohort.select, cohort.moves)
        views.setdefault(view, []).append((cohort, earlier.get(cohort) or cohort.receivers()))
    numbers: dict[_Question, int] = {}
    groups = []
    for (question, select, moves), group in views.items():
        number = numbers.setdefault(question, len(asks))
        if number == len(asks):
            audience, filter_, new, old = question
            asks.append(Ask(change, audience, filter_, rules.get(audience.role), new, old))
        groups.append((number, select, moves, group))
    return groups


def _receivers(matched: Sequence[Matched]) -> Sequence[Receivers]:
    """Join cohorts of one topic, so that a channel with several matching bindings gets one frame with all ids."""
    if len(matched) == 1:
        cohort, earlier = matched[0]
        remaining = cohort.remaining(earlier)
        return (remaining,) if remaining.connections else ()
    topics: dict[str, list[Receivers]] = {}
    for cohort, earlier in matched:
        remaining = cohort.remaining(earlier)
        if not remaining.connections:
            continue
        if (others := topics.get(remaining.topic)) is None:
            topics[remaining.topic] = [remaining]
        else:
            others.append(remaining)
    receivers: list[Receivers] = []
    for topic, parts in topics.items():
        receivers += parts if len(parts) == 1 else _join(topic, parts)
    return receivers


def _join(topic: str, parts: Sequence[Receivers]) -> list[Receivers]:
    bindings: dict[int, set[int]] = {}
    for part in parts:
        for connection in part.connections:
            bindings.setdefault(connection, set()).update(part.ids)
    frames: dict[tuple[int, ...], list[int]] = {}
    for connection, ids in bindings.items():
        frames.setdefault(tuple(sorted(ids)), []).append(connection)
    return [Receivers(topic, ids, tuple(connections)) for ids, connections in frames.items()]
