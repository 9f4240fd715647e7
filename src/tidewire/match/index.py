"""Finds the subscriptions that a change concerns: by table, by event, by value. Knows nothing of who may see what."""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from tidewire.match.finding import NEW, OLD, Broken, Finding
from tidewire.match.guard import Guard
from tidewire.match.plan import FilterGroup, Plan
from tidewire.match.subscription import ANY, Cohort, Compile, Subscription
from tidewire.model.relation import Relation

MAX_PLANS: Final = 1024
"""Tables for which the filters of one wildcard stay compiled. Beyond it the oldest are compiled again when needed."""


class EventIndex:
    """The subscriptions to one event of one table, or of the tables of one wildcard."""

    __slots__ = ("_filtered", "_moving", "_plans", "_unfiltered")

    def __init__(self) -> None:
        self._unfiltered = FilterGroup(None)
        self._filtered: dict[str, FilterGroup] = {}
        self._plans: dict[tuple[str, str], Plan] = {}
        self._moving = 0

    def __bool__(self) -> bool:
        return bool(self._filtered or self._unfiltered)

    @property
    def groups(self) -> tuple[FilterGroup, ...]:
        """The subscriptions by their filter, first those that have none."""
        return self._unfiltered, *self._filtered.values()

    def add(
        self, wish: Subscription, compiler: Compile | None, broken: list[Broken], guards: Iterable[Guard]
    ) -> Cohort:
        """Take a subscription in and return its cohort."""
        group = self._unfiltered if compiler is None else self._filtered.get(wish.filter)
        if group is None:
            group = self._filtered[wish.filter] = FilterGroup(compiler)
        cohort = group.add(wish, guards)
        self._moving += wish.moves
        for plan in self._plans.values():
            plan.place(group, broken)
        return cohort

    def remove(self, wish: Subscription, *, renewed: bool) -> Cohort:
        """Let a subscription go, and forget its filter when nobody else uses it; return its cohort."""
        group = self._filtered[wish.filter] if wish.filter.strip() else self._unfiltered
        cohort = group.remove(wish, renewed=renewed)
        self._moving -= wish.moves
        if group or group is self._unfiltered:
            return cohort
        del self._filtered[wish.filter]
        if not self._filtered:
            self._plans.clear()
        for plan in self._plans.values():
            plan.displace(group)
        return cohort

    def collect(self, finding: Finding) -> None:
        """Add those who wish to hear of this row, which is read only where a filter or a policy asks for its values."""
        self._collect(finding)
        if self._moving and finding.follows_moves:
            finding.look(OLD, moving_only=True)
            self._collect(finding)
            finding.look(NEW, moving_only=False)

    def collect_moves(self, finding: Finding) -> None:
        """Add those who asked for another event, and follow rows into and out of sight."""
        if self._moving:
            for side in (OLD, NEW):
                finding.look(side, moving_only=True)
                self._collect(finding)
            finding.look(NEW, moving_only=False)

    def _collect(self, finding: Finding) -> None:
        if self._unfiltered:
            self._unfiltered.collect(finding)
        if self._filtered and (row := finding.row) is not None:
            self._plan(finding.change.relation, finding.broken).collect(row, finding)

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

    __slots__ = ("_events", "_roles", "_truncating")

    def __init__(self) -> None:
        self._events: dict[str, EventIndex] = {}
        self._truncating: dict[Cohort, None] = {}
        self._roles: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._events)

    @property
    def roles(self) -> Collection[str]:
        """The roles of those who subscribe."""
        return self._roles.keys()

    @property
    def groups(self) -> Iterator[FilterGroup]:
        """The subscriptions, by event and filter."""
        return (group for index in self._events.values() for group in index.groups)

    def add(self, wish: Subscription, compiler: Compile | None, broken: list[Broken], guards: Iterable[Guard]) -> None:
        """Take a subscription in."""
        role = wish.audience.role
        self._roles[role] = self._roles.get(role, 0) + 1
        cohort = self._events.setdefault(wish.event, EventIndex()).add(wish, compiler, broken, guards)
        if wish.truncate:
            self._truncating[cohort] = None

    def remove(self, wish: Subscription, *, renewed: bool) -> None:
        """Let a subscription go."""
        role = wish.audience.role
        self._roles[role] -= 1
        if not self._roles[role]:
            del self._roles[role]
        index = self._events[wish.event]
        cohort = index.remove(wish, renewed=renewed)
        if not index:
            del self._events[wish.event]
        if not cohort:
            self._truncating.pop(cohort, None)

    def collect(self, finding: Finding) -> None:
        """Add those who wish to hear of a change. Raises DecodeError where a filter or policy needs a damaged row."""
        operation = finding.change.operation
        if operation == "TRUNCATE":
            finding.cohorts += self._truncating
            return
        for event in (operation, ANY):
            if (index := self._events.get(event)) is not None:
                index.collect(finding)
        if finding.follows_moves:
            for event in ("INSERT", "DELETE"):
                if (index := self._events.get(event)) is not None:
                    index.collect_moves(finding)
