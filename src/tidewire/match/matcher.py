"""Turns changes into who wishes to hear of them. Pure: it decides nothing about visibility and sends nothing."""

from collections.abc import Iterable, Sequence

from tidewire.match.candidates import Candidates
from tidewire.match.index import TableIndex
from tidewire.match.plan import Broken, Finding
from tidewire.match.subscription import ANY, Cohort, Compile, Subscription
from tidewire.model.change import Change
from tidewire.model.relation import Relation


class Matcher:
    """All subscriptions of this node. The cost of a change grows with those that match it, not with how many there are.

    Filters are compiled when the first change of a table comes, and again when its shape changes.
    """

    def __init__(self) -> None:
        self._tables: dict[tuple[str, str], TableIndex] = {}
        self._cohorts: dict[int, Cohort] = {}
        self._connections: dict[int, set[int]] = {}

    def __len__(self) -> int:
        return len(self._cohorts)

    def add(self, subscription: Subscription, compile: Compile | None = None) -> Sequence[Broken]:  # noqa: A002 - what it does
        """Match from the next change on. Give `compile` exactly when there is a filter; subscriptions share it by text.

        Returns what is wrong with the filter as far as tables were seen already: refuse the subscription and remove it.
        """
        if subscription.id in self._cohorts:
            raise ValueError(f"subscription {subscription.id} is here already")
        if bool(subscription.filter.strip()) != (compile is not None):
            raise ValueError("a filter must come with its compile function, and only a filter")
        table = self._tables.setdefault((subscription.schema, subscription.table), TableIndex())
        broken: list[Broken] = []
        self._cohorts[subscription.id] = table.add(subscription, compile, broken)
        self._connections.setdefault(subscription.connection, set()).add(subscription.id)
        return broken

    def remove(self, subscription_id: int) -> None:
        """Stop matching, also for what `match` has returned already. One that is gone is no error: leaving may race."""
        cohort = self._cohorts.pop(subscription_id, None)
        if cohort is None:
            return
        connection = cohort.remove(subscription_id)
        others = self._connections[connection]
        others.discard(subscription_id)
        if not others:
            del self._connections[connection]
        if not cohort:
            self._drop(cohort)

    def remove_connection(self, connection: int) -> None:
        """Remove everything that a closed connection had subscribed to."""
        for subscription_id in tuple(self._connections.get(connection, ())):
            self.remove(subscription_id)

    def match(self, changes: Iterable[Change]) -> Candidates:
        """Return who wishes to hear of these changes, all of one transaction or not, in their order."""
        broken: list[Broken] = []
        findings: list[tuple[Change, Finding]] = []
        relation: Relation | None = None
        tables: list[TableIndex] = []
        for change in changes:
            if change.relation is not relation:  # mostly many rows of one table follow each other
                relation = change.relation
                tables = self._concerned(relation.schema, relation.name)
            if not tables:
                continue
            finding = Finding(broken)
            for table in tables:
                table.collect(change, finding)
            if finding:
                findings.append((change, finding))
        return Candidates(findings, broken)

    def _concerned(self, schema: str, name: str) -> list[TableIndex]:
        patterns = ((schema, name), (schema, ANY), (ANY, name), (ANY, ANY))
        return [table for pattern in patterns if (table := self._tables.get(pattern)) is not None]

    def _drop(self, cohort: Cohort) -> None:
        pattern = (cohort.wish.schema, cohort.wish.table)
        table = self._tables[pattern]
        table.drop(cohort)
        if not table:
            del self._tables[pattern]
