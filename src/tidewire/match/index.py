"""Finds the subscriptions that a change concerns: by table, by event, by value. Knows nothing of who may see what."""

from typing import Final

from tidewire.match.plan import Broken, FilterGroup, Finding, Plan
from tidewire.match.subscription import ANY, Cohort, Compile, Subscription
from tidewire.model.change import Change
from tidewire.model.relation import Relation

MAX_PLANS: Final = 1024
"""Tables for which the filters of one wildcard stay compiled. Beyond it the oldest are compiled again when needed."""


class EventIndex:
    """The subscriptions to one event of one table, or of the tables of one wildcard."""

    __slots__ = ("_filtered", "_plans", "_unfiltered")

    def __init__(self) -> None:
        self._unfiltered = FilterGroup(None)
        self._filtered: dict[str, FilterGroup] = {}
        self._plans: dict[tuple[str, str], Plan] = {}

    def __bool__(self) -> bool:
        return bool(self._filtered or self._unfiltered)

    def add(self, wish: Subscription, compile: Compile | None, broken: list[Broken]) -> Cohort:  # noqa: A002 - as above
        """Find the subscription's cohort, or make it, and join it."""
        group = self._unfiltered if compile is None else self._filtered.get(wish.filter)
        if group is None:
            group = self._filtered[wish.filter] = FilterGroup(compile)
        cohort = group.add(wish)
        for plan in self._plans.values():
            plan.place(group, broken)
        return cohort

    def drop(self, cohort: Cohort) -> None:
        """Forget a cohort that has become empty, and its filter when nobody else uses it."""
        wish = cohort.wish
        group = self._filtered[wish.filter] if wish.filter.strip() else self._unfiltered
        group.drop(cohort)
        if group or group is self._unfiltered:
            return
        del self._filtered[wish.filter]
        if not self._filtered:
            self._plans.clear()
        for plan in self._plans.values():
            plan.displace(group)

    def collect(self, change: Change, finding: Finding) -> None:
        """Add the cohorts that wish to hear of this row, which is read only where a filter asks for its values."""
        finding.cohorts += self._unfiltered.cohorts
        if not self._filtered:
            return
        row = change.old if change.operation == "DELETE" else change.new
        if row is not None:
            self._plan(change.relation, finding.broken).collect(row, finding)

    def _plan(self, relation: Relation, broken: list[Broken]) -> Plan:
        name = (relation.schema, relation.name)
        plan = self._plans.get(name)
        if plan is not None and plan.relation is relation:
            return plan
        if plan is not None and plan.relation == relation:
            plan.relation = relation  # so that the next comparison is by identity
            return plan
        if plan is None and len(self._plans) == MAX_PLANS:
            del self._plans[next(iter(self._plans))]
        plan = self._plans[name] = Plan(relation)
        for group in self._filtered.values():
            plan.place(group, broken)
        return plan


class TableIndex:
    """The subscriptions to one table, or to the tables of one wildcard."""

    __slots__ = ("_events", "_truncating")

    def __init__(self) -> None:
        self._events: dict[str, EventIndex] = {}
        self._truncating: dict[Cohort, None] = {}

    def __bool__(self) -> bool:
        return bool(self._events)

    def add(self, wish: Subscription, compile: Compile | None, broken: list[Broken]) -> Cohort:  # noqa: A002 - as above
        """Put a subscription into its cohort, which must be dropped when its last member has left."""
        cohort = self._events.setdefault(wish.event, EventIndex()).add(wish, compile, broken)
        if wish.truncate:
            self._truncating[cohort] = None
        return cohort

    def drop(self, cohort: Cohort) -> None:
        """Forget a cohort that has become empty."""
        event = cohort.wish.event
        self._events[event].drop(cohort)
        if not self._events[event]:
            del self._events[event]
        self._truncating.pop(cohort, None)

    def collect(self, change: Change, finding: Finding) -> None:
        """Add the cohorts that wish to hear of this change. Raises DecodeError where a filter needs a damaged row."""
        if change.operation == "TRUNCATE":
            finding.cohorts += self._truncating
            return
        for event in (change.operation, ANY):
            if (index := self._events.get(event)) is not None:
                index.collect(change, finding)
