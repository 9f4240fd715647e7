"""Tables and Visibility from memory: what a database would say, without one."""

from collections.abc import Mapping, Sequence

from tidewire.filters.grammar import Condition
from tidewire.match.candidates import Ask
from tidewire.match.rule import TableAccess
from tidewire.model.position import Lsn
from tidewire.model.relation import Relation
from tidewire.ports import Sight


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


class OpenVisibility:
    """Shows everything to everybody, but nothing where a filter would have to be asked of Postgres."""

    async def visible(self, asks: Sequence[Ask]) -> Sequence[Sight | None]:
        return [None if ask.filter else Sight() for ask in asks]
