"""The filters of many subscriptions, compiled for one shape of a table and found by value where they ask for one.

Knows rows and filters, but neither events nor names of tables.
"""

from collections.abc import Callable

from msgspec import Struct

from tidewire.filters.answer import UNDECIDED, Predicate
from tidewire.match.subscription import (
    Audience,
    Cohort,
    Compile,
    CompiledFilter,
    Select,
    Subscription,
)
from tidewire.model.change import Row
from tidewire.model.relation import Relation


class Broken(Struct, frozen=True):
    """A filter that cannot be applied to a table as it is now. Tell these subscriptions and remove them.

    Those left in get nothing of this table, and no further report, until its shape changes or others join them. Of an
    error that is not a TidewireError log the type only: its text may quote a row.
    """

    subscriptions: tuple[int, ...]
    relation: Relation
    error: Exception


class Finding:
    """Collects who is concerned by one change; `undecided` are those whose filter only Postgres can answer for it."""

    __slots__ = ("broken", "cohorts", "undecided")

    def __init__(self, broken: list[Broken]) -> None:
        self.cohorts: list[Cohort] = []
        self.undecided: list[Cohort] = []
        self.broken = broken

    def __bool__(self) -> bool:
        return bool(self.cohorts or self.undecided)


class FilterGroup:
    """The cohorts that wish the same event of the same tables under the same filter text: evaluated once for all."""

    __slots__ = ("_cohorts", "_listed", "compile")

    def __init__(self, compile: Compile | None) -> None:  # noqa: A002 - what it does
        self.compile = compile
        self._cohorts: dict[tuple[str, int, Select, Audience, bool], Cohort] = {}
        self._listed: tuple[Cohort, ...] | None = None

    def __bool__(self) -> bool:
        return bool(self._cohorts)

    @property
    def cohorts(self) -> tuple[Cohort, ...]:
        """All of them, kept as a tuple: among very many filters it is the cache misses that count."""
        listed = self._listed
        if listed is None:
            self._listed = listed = tuple(self._cohorts.values())
        return listed

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(each for cohort in self.cohorts for each in cohort.ids)

    def add(self, wish: Subscription) -> Cohort:
        key = _cohort_key(wish)
        cohort = self._cohorts.get(key)
        if cohort is None:
            cohort = self._cohorts[key] = Cohort(wish)
            self._listed = None
        cohort.add(wish)
        return cohort

    def drop(self, cohort: Cohort) -> None:
        del self._cohorts[_cohort_key(cohort.wish)]
        self._listed = None


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
                    finding.cohorts += group.cohorts
                elif answer is UNDECIDED:
                    finding.undecided += group.cohorts
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
                finding.cohorts += group.cohorts
            if (bucket := column.others.get(value)) is not None:
                buckets.append(bucket)
        return buckets


def _cohort_key(wish: Subscription) -> tuple[str, int, Select, Audience, bool]:
    return wish.topic, wish.wire_id, wish.select, wish.audience, wish.truncate
