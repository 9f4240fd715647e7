"""Tables, Rules and Visibility from memory: what a database would say, without one."""

from collections.abc import Mapping, Sequence

from tidewire.filters.grammar import Condition
from tidewire.match.candidates import Ask
from tidewire.match.rule import Restriction, Rule, TableAccess
from tidewire.match.sight import Sight, see
from tidewire.match.subscription import Audience
from tidewire.model.change import Row
from tidewire.model.position import Lsn
from tidewire.model.relation import Relation


class ScriptedTables:
    """Every role in `roles` may read every column of the `relations`; those in `bypassing` are bound by no policy."""

    def __init__(
        self, relations: Sequence[Relation] = (), *, roles: Sequence[str] = ("anon",), bypassing: Sequence[str] = ()
    ) -> None:
        self.relations = list(relations)
        self.roles = {*roles, *bypassing}
        self.bypassing = set(bypassing)
        self.end = Lsn(0)
        """Where the log is said to end."""

    async def published(self, schema: str, table: str) -> Sequence[Relation]:
        return [each for each in self.relations if schema in {"*", each.schema} and table in {"*", each.name}]

    async def access(self, role: str, relation: Relation) -> TableAccess | None:
        if role not in self.roles:
            return None
        columns = frozenset(column.name for column in relation.columns)
        return TableAccess(columns, has_key=True, sees_key=True, unrestricted=True)

    async def bypasses_policies(self, role: str) -> bool:
        return role in self.bypassing

    async def log_end(self) -> Lsn:
        return self.end

    async def locales(self, relation: Relation) -> Mapping[str, str]:
        return {column.name: "C" for column in relation.columns if column.type.name in {"text", "varchar"}}

    async def probe(self, role: str, relation: Relation, conditions: Sequence[Condition]) -> str | None:  # noqa: ARG002 - the contract's parameters
        return None


class ScriptedRules:
    """Every role may see every column of every row, but for what `rules` say of a table by its name."""

    def __init__(self) -> None:
        self.rules: dict[str, Rule | None] = {}
        self.asked = 0

    async def read(self, role: str, relation: Relation, *, after_xid: int | None = None) -> Rule | None:  # noqa: ARG002 - the contract's parameters
        self.asked += 1
        if relation.name in self.rules:
            return self.rules[relation.name]
        return open_rule(role, relation)


def open_rule(role: str, relation: Relation, *, columns: Sequence[str] | None = None) -> Rule:
    """Return the rule of a role that no policy binds, with the right to read some columns, or all of them."""
    names = frozenset(column.name for column in relation.columns if columns is None or column.name in columns)
    key = {column.name for column in relation.columns if column.primary}
    access = TableAccess(names, has_key=bool(key), sees_key=key <= names, unrestricted=True)
    return Rule(role, access)


def opaque_rule(role: str, relation: Relation) -> Rule:
    """Return the rule of a role whose policies only Postgres can judge."""
    names = frozenset(column.name for column in relation.columns)
    access = TableAccess(names, has_key=True, sees_key=True, unrestricted=False)
    return Rule(role, access, Restriction("opaque()", names), left_to_postgres="nobody knows what it does")


class OpenVisibility:
    """Finds every policy true, and every filter false."""

    async def visible(self, asks: Sequence[Ask]) -> Sequence[Sight | None]:
        return [None if ask.filter or ask.rule is None else see(ask.rule, ask.change) for ask in asks]

    async def seers(
        self,
        rule: Rule,  # noqa: ARG002 - the contract's parameters
        relation: Relation,  # noqa: ARG002 - the contract's parameters
        rows: Sequence[Row],
        audiences: Sequence[Audience],
    ) -> list[list[int]]:
        return [list(range(len(audiences))) for _ in rows]
