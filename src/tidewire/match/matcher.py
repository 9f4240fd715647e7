"""Turns changes into who wishes to hear of them, and may as far as policies can be judged here. Sends nothing."""

from collections.abc import Callable, Iterable, Sequence

from tidewire.match.candidates import Candidates
from tidewire.match.finding import Broken, Finding
from tidewire.match.guard import Guard
from tidewire.match.index import TableIndex
from tidewire.match.rule import Rule
from tidewire.match.subscription import Compile, Subscription, patterns_of
from tidewire.model.change import Change, Shape
from tidewire.model.relation import Relation

FindGuard = Callable[[Relation], Guard | None]
"""Returns who may see what of a table in one of its shapes; without a guard everybody may see everything."""


class Matcher:
    """All subscriptions of this node. The cost of a change grows with those that match it, not with how many there are.

    Filters are compiled when the first change of a table comes, and again when its shape changes.
    """

    def __init__(self) -> None:
        self._tables: dict[tuple[str, str], TableIndex] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._connections: dict[int, set[int]] = {}

    def __len__(self) -> int:
        return len(self._subscriptions)

    def add(
        self,
        subscription: Subscription,
        compile: Compile | None = None,  # noqa: A002 - what it does
        guards: Iterable[Guard] = (),
    ) -> Sequence[Broken]:
        """Match from the next change on. Give `compile` exactly when there is a filter; subscriptions share it by text.

        Give the `guards` of its tables as far as they are known: readers are sorted by what they may see as they come.
        Otherwise the first change has to sort all of a crowd at once.
        Returns what is wrong with the filter as far as tables were seen already: refuse the subscription and remove it.
        """
        if subscription.id in self._subscriptions:
            raise ValueError(f"subscription {subscription.id} is here already")
        if bool(subscription.filter.strip()) != (compile is not None):
            raise ValueError("a filter must come with its compile function, and only a filter")
        table = self._tables.setdefault((subscription.schema, subscription.table), TableIndex())
        broken: list[Broken] = []
        table.add(subscription, compile, broken, guards)
        self._subscriptions[subscription.id] = subscription
        self._connections.setdefault(subscription.connection, set()).add(subscription.id)
        return broken

    def remove(self, subscription_id: int, *, renewed: bool = False) -> None:
        """Stop matching, also for what `match` has returned already. One that is gone is no error: leaving may race.

        One that is `renewed`, because its reader has a new token, still gets what `match` has returned already.
        """
        subscription = self._subscriptions.pop(subscription_id, None)
        if subscription is None:
            return
        others = self._connections[subscription.connection]
        others.discard(subscription_id)
        if not others:
            del self._connections[subscription.connection]
        pattern = (subscription.schema, subscription.table)
        table = self._tables[pattern]
        table.remove(subscription, renewed=renewed)
        if not table:
            del self._tables[pattern]

    def remove_connection(self, connection: int) -> None:
        """Remove everything that a closed connection had subscribed to."""
        for subscription_id in tuple(self._connections.get(connection, ())):
            self.remove(subscription_id)

    def roles(self, relation: Relation) -> set[str]:
        """Return the roles of those who subscribe to a table: their rules have to be known before its changes come."""
        return {role for table in self._concerned(relation.schema, relation.name) for role in table.roles}

    def follows(self, shapes: Iterable[Shape]) -> bool:
        """Tell whether anybody may wish to hear of rows of these tables: otherwise nobody need read them."""
        return any(self._concerned(shape.relation.schema, shape.relation.name) for shape in shapes)

    def followers(self, relation: Relation) -> tuple[int, int]:
        """Return how many subscriptions follow a table, and how many audiences those are. Looks at each of them."""
        groups = [group for table in self._concerned(relation.schema, relation.name) for group in table.groups]
        audiences = {audience for group in groups for audience in group.audiences(relation.oid)}
        return sum(len(group.ids) for group in groups), len(audiences)

    def match(self, changes: Iterable[Change], find_guard: FindGuard = lambda _: None) -> Candidates:
        """Return who wishes to hear of these changes, all of one transaction or not, in their order.

        `find_guard` is asked who may.
        """
        broken: list[Broken] = []
        failed: dict[Rule, None] = {}
        findings: list[Finding] = []
        relation: Relation | None = None
        tables: list[TableIndex] = []
        guard: Guard | None = None
        for change in changes:
            if change.relation is not relation:  # mostly many rows of one table follow each other
                relation = change.relation
                tables = self._concerned(relation.schema, relation.name)
                guard = find_guard(relation)
            if not tables:
                continue
            finding = Finding(change, guard, broken, failed)
            for table in tables:
                table.collect(finding)
            if finding:
                findings.append(finding)
        return Candidates(findings, broken, tuple(failed))

    def _concerned(self, schema: str, name: str) -> list[TableIndex]:
        return [table for pattern in patterns_of(schema, name) if (table := self._tables.get(pattern)) is not None]
