"""What operators see of tables: how they are published and guarded, who follows them, and how policies are judged."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from tidewire.hub.guards import Guards
from tidewire.match.guard import Guard
from tidewire.match.rule import Rule
from tidewire.model.relation import Relation
from tidewire.postgres.doctor_facts import Facts, Table
from tidewire.postgres.findings_access import READERS
from tidewire.postgres.rules import PostgresRules
from tidewire.postgres.tables import PostgresTables
from tidewire.services.table_rates import TableRates

PolicyKind = Literal["gone", "closed", "open", "compiled", "postgres"]
"""There is no such role; it may read nothing; no policy binds it; its policies are judged here, or by Postgres."""


class RoleSight(Struct, frozen=True):
    """How one role stands to a table; `why` tells what keeps its policies from being compiled."""

    role: str
    policies: PolicyKind
    why: str = ""
    hidden_columns: Sequence[str] = ()


class TableSight(Struct, frozen=True, kw_only=True):
    """One table that is published. `roles` are those of its followers, as far as anything of it has changed."""

    schema: str
    name: str
    partitioned: bool
    publications: Sequence[str]
    identity: str
    primary_key: Sequence[str]
    row_security: bool
    policies: int
    subscriptions: int
    audiences: int
    changes_per_s: float
    roles: Sequence[RoleSight]


Followers = Callable[[Relation], tuple[int, int]]


class TableSights:
    """Ask it for all tables, or for how every role that matters stands to one."""

    def __init__(
        self, tables: PostgresTables, rules: PostgresRules, guards: Guards, rates: TableRates, followers: Followers
    ) -> None:
        """`followers` returns of a table how many subscriptions follow it, and how many audiences those are."""
        self._tables = tables
        self._rules = rules
        self._guards = guards
        self._rates = rates
        self._followers = followers

    async def all(self, facts: Facts) -> list[TableSight]:
        """Describe the published tables of the user. Raises our errors."""
        found: dict[tuple[str, str], Relation] = {
            (each.schema, each.name): each for each in await self._published("*", "*")
        }
        return [
            self._describe(table, found.get((table.schema, table.name)))
            for table in facts.user_tables
            if table.memberships or (table.schema, table.name) in found
        ]

    async def roles(self, schema: str, name: str) -> list[RoleSight] | None:
        """Tell how those who usually read stand to a table; None when it is not published. Raises our errors."""
        relations = await self._published(schema, name)
        relation = next((each for each in relations if (each.schema, each.name) == (schema, name)), None)
        if relation is None:
            return None
        guard = self._guards.find(relation)
        roles = dict.fromkeys((*READERS, *(guard.rules if guard is not None else ())))
        return [sight_of(role, await self._rules.read(role, relation), relation) for role in roles]

    async def _published(self, schema: str, name: str) -> Sequence[Relation]:
        """Ask anew: an operator who has just changed something looks at what it is now."""
        self._tables.forget()
        return await self._tables.published(schema, name)

    def _describe(self, table: Table, relation: Relation | None) -> TableSight:
        subscriptions, audiences = (0, 0) if relation is None else self._followers(relation)
        guard = None if relation is None else self._guards.find(relation)
        return TableSight(
            schema=table.schema,
            name=table.name,
            partitioned=table.kind == "p",
            publications=[each.publication for each in table.memberships],
            identity=_IDENTITIES.get(table.storage[0].identity, "default") if table.storage else "default",
            primary_key=table.primary_key,
            row_security=table.row_security,
            policies=table.policies,
            subscriptions=subscriptions,
            audiences=audiences,
            changes_per_s=0.0 if relation is None else self._rates.per_s(relation.oid),
            roles=() if guard is None else _roles(guard),
        )


_IDENTITIES: Mapping[str, str] = {"d": "default", "f": "full", "n": "nothing", "i": "index"}


def _roles(guard: Guard) -> list[RoleSight]:
    return [sight_of(role, rule, guard.relation) for role, rule in guard.rules.items()]


def sight_of(role: str, rule: Rule | None, relation: Relation) -> RoleSight:
    """Describe how a role stands to a table."""
    if rule is None:
        return RoleSight(role, "gone")
    if not rule.access.columns:
        return RoleSight(role, "closed")
    hidden = [column.name for column in relation.columns if column.name not in rule.access.columns]
    if rule.restriction is None:
        return RoleSight(role, "open", "", hidden)
    return RoleSight(role, "postgres" if rule.compiled is None else "compiled", rule.left_to_postgres, hidden)
