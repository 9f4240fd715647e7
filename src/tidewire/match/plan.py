"""The filters of many subscriptions, compiled for one shape of a table and found by value where they ask for one.

Knows rows and filters, but neither events nor names of tables.
"""

from collections.abc import Callable, Iterable
from typing import Final

from tidewire.filters.answer import UNDECIDED, Predicate
from tidewire.match.audiences import AudienceIndex
from tidewire.match.finding import BY_FILTER, CERTAIN, Broken, Doubt, Finding
from tidewire.match.guard import Guard
from tidewire.match.subscription import Audience, Cohort, Cohorts, Compile, CompiledFilter, Subscription
from tidewire.model.change import Row
from tidewire.model.relation import Relation

MAX_INDEXES: Final = 1024
"""Tables for which the readers of one wildcard stay sorted by what they may see."""


class FilterGroup:
    """The subscriptions to the same event of the same tables under the same filter text: evaluated once for all."""

    __slots__ = ("_cohorts", "_indexes", "compile")

    def __init__(self, compile: Compile | None) -> None:  # noqa: A002 - what it does
        self.compile = compile
        self._cohorts = Cohorts()
        """All of them by their roles alone, for tables that hide nothing from anybody."""
        self._indexes: dict[int, AudienceIndex] = {}

    def __bool__(self) -> bool:
        return bool(self._cohorts)

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(wish.id for wish in self._cohorts)

    def audiences(self, oid: int) -> set[Audience]:
        """Return those whom one table has to be judged for separately."""
        index = self._indexes.get(oid)
        return {wish.audience for wish in self._cohorts} if index is None else index.audiences

    def add(self, wish: Subscription, guards: Iterable[Guard] = ()) -> Cohort:
        """Take a subscription in, sorted now for the `guards`; return whom it is among where nothing is hidden.

        Where there is a guard of another shape already, it stays: changes come in that one.
        """
        for guard in guards:
            if guard.relation.oid not in self._indexes:
                self._index(guard)
        for index in self._indexes.values():
            index.add(wish)
        return self._cohorts.add(wish, wish.audience)

    def remove(self, wish: Subscription, *, renewed: bool) -> Cohort:
        """Let a subscription go and return the cohort that it was in, which may be empty now."""
        for index in self._indexes.values():
            index.remove(wish, renewed=renewed)
        return self._cohorts.remove(wish, wish.audience, renewed=renewed)

    def collect(self, finding: Finding, doubt: Doubt = CERTAIN) -> None:
        """Add those who may see the row that the finding looks at; the filter holds for it, or is in `doubt`."""
        if finding.guard is None:
            finding.take(self._cohorts, doubt)
            return
        self._index(finding.guard).collect(finding, doubt)

    def _index(self, guard: Guard) -> AudienceIndex:
        oid = guard.relation.oid
        index = self._indexes.get(oid)
        if index is None or index.guard is not guard:
            if index is None and len(self._indexes) == MAX_INDEXES:
                del self._indexes[next(iter(self._indexes))]
            index = self._indexes[oid] = AudienceIndex(guard, self._cohorts)
        return index


Bucket = dict[FilterGroup, Predicate | None]
"""Filters left to try once look-ups are done, each with what remains of it."""


class ColumnIndex:
    """The filters that need one column to equal something, by that value."""

    __slots__ = ("canonical", "exact", "others")

    def __init__(self, canonical: Callable[[str], str] | None) -> None:
        # The first filter's function serves the whole column: the canonical form belongs to the type.
        self.canonical = canonical
        self.exact: dict[str, FilterGroup] = {}
        """The first filter that asks nothing more, which is the only one but for spellings such as `5` and `05`."""
        self.others: dict[str, Bucket] = {}

    def place(self, group: FilterGroup, value: str, residual: Predicate | None) -> None:
        if residual is None and value not in self.exact:
            self.exact[value] = group
        else:
            self.others.setdefault(value, {})[group] = residual

    def displace(self, group: FilterGroup, value: str) -> None:
        if self.exact.get(value) is group:
            del self.exact[value]
            return
        bucket = self.others[value]
        del bucket[group]
        if not bucket:
            del self.others[value]


class Plan:
    """Filters compiled for one shape of a table; every filter that is placed must be displaced when it goes."""

    __slots__ = ("_columns", "_compiled", "_unindexed", "relation")

    def __init__(self, relation: Relation) -> None:
        self.relation = relation
        self._compiled: dict[FilterGroup, CompiledFilter] = {}
        self._columns: dict[int, ColumnIndex] = {}
        self._unindexed: Bucket = {}

    def place(self, group: FilterGroup, broken: list[Broken]) -> None:
        """Compile a filter and put it where a row will find it, or report it as broken. Does so once."""
        if group.compile is None or group in self._compiled:
            return
        try:
            compiled = group.compile(self.relation)
        except Exception as error:  # noqa: BLE001 - one reader's filter must not stop the stream for everyone
            broken.append(Broken(group.ids, self.relation, error))
            return
        self._compiled[group] = compiled
        if compiled.equality is None:
            self._unindexed[group] = compiled.residual
            return
        index, values = compiled.equality
        if (column := self._columns.get(index)) is None:
            column = self._columns[index] = ColumnIndex(compiled.canonical)
        for value in dict.fromkeys(values):
            column.place(group, value, compiled.residual)

    def displace(self, group: FilterGroup) -> None:
        """Take a filter out again; one that is not here, because it is broken, is no error."""
        compiled = self._compiled.pop(group, None)
        if compiled is None:
            return
        if compiled.equality is None:
            del self._unindexed[group]
            return
        index, values = compiled.equality
        column = self._columns[index]  # stays when it is empty: a table has few columns
        for value in dict.fromkeys(values):
            column.displace(group, value)

    def collect(self, row: Row, finding: Finding) -> None:
        """Add those whose filters hold for a row. A filter that raises is reported and taken out."""
        failed: list[FilterGroup] = []
        for bucket in self._look_up(row, finding):
            for group, residual in bucket.items():
                try:
                    answer = residual is None or residual(row)
                except Exception as error:  # noqa: BLE001 - as above
                    failed.append(group)
                    finding.broken.append(Broken(group.ids, self.relation, error))
                    continue
                if answer is True:
                    group.collect(finding)
                elif answer is UNDECIDED:
                    group.collect(finding, BY_FILTER)
        for group in failed:
            self.displace(group)

    def _look_up(self, row: Row, finding: Finding) -> list[Bucket]:
        """Add those whose filters hold because of a value, and return the filters that have to be tried."""
        buckets = [self._unindexed] if self._unindexed else []
        for index, column in self._columns.items():
            value = row[index]
            if not isinstance(value, str):
                continue  # neither NULL nor a value that the log does not carry equals anything
            if column.canonical is not None:
                value = column.canonical(value)
            if (group := column.exact.get(value)) is not None:
                group.collect(finding)
            if (bucket := column.others.get(value)) is not None:
                buckets.append(bucket)
        return buckets
