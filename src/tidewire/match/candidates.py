"""Turns matched cohorts into questions for row-level security, and the answers into deliveries. Asks nobody itself."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from tidewire.match.plan import Broken, Finding
from tidewire.match.subscription import Audience, Cohort, Receivers, Select
from tidewire.model.change import Change

Answer = TypeVar("Answer", bound=Hashable)
"""What an audience may see of a change, in the terms of whoever answers; equal answers share one encoding."""


class Ask(Struct, frozen=True, gc=False):
    """May this audience see this change? The answer says what of it, or None for nothing at all.

    Where there is a `filter`, it could not be decided here: the answer is None unless Postgres finds it true as well.
    """

    change: Change
    audience: Audience
    filter: str = ""


class Delivery(Struct, Generic[Answer], frozen=True, gc=False):
    """Encode the change once for `select` and `answer`, then send it to all receivers, one frame for each of them.

    No channel appears twice: the ids of all its bindings that match are in one frame.
    """

    change: Change
    select: Select
    answer: Answer
    receivers: Sequence[Receivers]


Matched = tuple[Cohort, Receivers]
"""A cohort, and who was in it when the change came."""

View = tuple[int, Select, list[Matched]]
"""The number of the ask, and who is to see the columns of `select` if the answer allows."""


class Candidates:
    """Who wishes to hear of some changes. Answer every one of `asks`, in order, then take the deliveries.

    Between the two, subscriptions may come and go: those gone get nothing more, those new get nothing of this. A
    channel that leaves and joins again with the same bindings may count as never gone. Handle `broken` in any case.
    """

    __slots__ = ("_changes", "asks", "broken")

    def __init__(self, findings: Iterable[tuple[Change, Finding]], broken: Sequence[Broken]) -> None:
        self.broken = broken
        asks: list[Ask] = []
        self.asks: Sequence[Ask] = asks
        self._changes = [(change, _by_view(change, finding, asks)) for change, finding in findings]

    def deliveries(self, answers: Sequence[Answer | None]) -> Iterator[Delivery[Answer]]:
        """Yield what to send, in the order of the changes. `answers` belong to `asks` one by one."""
        if len(answers) != len(self.asks):
            raise ValueError(f"expected {len(self.asks)} answers, got {len(answers)}")
        for change, views in self._changes:
            visible: dict[tuple[Select, Answer], list[Matched]] = {}
            for ask, select, matched in views:
                answer = answers[ask]
                if answer is None:
                    continue
                others = visible.get((select, answer))
                visible[select, answer] = matched if others is None else others + matched
            for (select, answer), matched in visible.items():
                if receivers := _receivers(matched):
                    yield Delivery(change, select, answer, receivers)


def _by_view(change: Change, finding: Finding, asks: list[Ask]) -> list[View]:
    """Group by what is to be seen, and ask once for each audience."""
    if len(finding.cohorts) == 1 and not finding.undecided:  # what an equality on a key mostly finds
        cohort = finding.cohorts[0]
        asks.append(Ask(change, cohort.audience))
        return [(len(asks) - 1, cohort.select, [(cohort, cohort.receivers())])]
    views: dict[tuple[Audience, str, Select], list[Matched]] = {}
    for cohort in finding.cohorts:
        view = (cohort.audience, "", cohort.select)
        if (others := views.get(view)) is None:
            views[view] = [(cohort, cohort.receivers())]
        else:
            others.append((cohort, cohort.receivers()))
    for cohort in finding.undecided:
        matched = (cohort, cohort.receivers())
        views.setdefault((cohort.audience, cohort.wish.filter, cohort.select), []).append(matched)
    numbers: dict[tuple[Audience, str], int] = {}
    groups = []
    for (audience, filter_, select), group in views.items():
        number = numbers.setdefault((audience, filter_), len(asks))
        if number == len(asks):
            asks.append(Ask(change, audience, filter_))
        groups.append((number, select, group))
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
