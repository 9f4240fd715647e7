"""What a request asks of a table and of the tables embedded in it: a tree of columns, conditions, order and ranges."""

from msgspec import Struct, field

from tidewire.query.conditions import Term
from tidewire.query.fields import Field


class Item(Struct, frozen=True):
    """One value of an answer: a field under a name, or under its own, possibly cast.

    With an `aggregate` it is that function of the field, or of nothing for `count()`, for all rows that agree in the
    other values; `result_cast` is what becomes of it.
    """

    field: Field | None
    alias: str | None = None
    cast: str | None = None
    aggregate: str | None = None
    result_cast: str | None = None

    @property
    def output(self) -> str:
        return self.alias or self.aggregate or (self.field.output if self.field is not None else "")


class Star(Struct, frozen=True):
    """All columns."""


class OrderTerm(Struct, frozen=True):
    """One field to sort by; `relation` names the embedded resource that has it, when it is not the resource itself."""

    field: Field
    relation: str | None = None
    direction: str = ""
    nulls: str = ""


class Resource(Struct):
    """A table as a request sees it. Filled while the parameters are read; nothing changes it afterwards."""

    name: str
    alias: str | None = None
    hint: str | None = None
    inner: bool = False
    spread: bool = False
    items: "list[Item | Star | Resource]" = field(default_factory=list)
    conditions: list[Term] = field(default_factory=list)
    order: list[OrderTerm] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0

    @property
    def output(self) -> str:
        return self.alias or self.name

    @property
    def embedded(self) -> "list[Resource]":
        return [item for item in self.items if isinstance(item, Resource)]

    def find(self, name: str) -> "Resource | None":
        """Return the embedded resource that a parameter means by this name: an alias goes before a table's name."""
        return next((each for each in self.embedded if each.output == name), None) or next(
            (each for each in self.embedded if each.name == name), None
        )
