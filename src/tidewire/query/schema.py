"""What the exposed schemas hold, as values: the only source of the names that a statement may mention.

Reading them from the catalog is the business of others.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

_JSON = frozenset({"json", "jsonb"})


class Column(Struct, frozen=True):
    """One column of a table; `type` is what format_type says, qualified where it is not in pg_catalog."""

    name: str
    type: str
    nullable: bool
    has_default: bool
    generated: bool
    primary: bool


class Table(Struct, frozen=True):
    """A table or view, and what may be done with it through its own definition (grants are Postgres's business)."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    is_view: bool
    insertable: bool
    updatable: bool
    deletable: bool


class Reference(Struct, frozen=True):
    """A foreign key; `unique` says that the referencing columns are a key, so that the relation is one-to-one."""

    name: str
    schema: str
    table: str
    columns: tuple[str, ...]
    to_schema: str
    to_table: str
    to_columns: tuple[str, ...]
    unique: bool


class Argument(Struct, frozen=True):
    """One input of a function; an empty name means that the function's author gave none."""

    name: str
    type: str
    has_default: bool
    variadic: bool


class Function(Struct, frozen=True):
    """One overload of a function; `returns_table` names the table whose rows it returns, if they are a table's."""

    schema: str
    name: str
    arguments: tuple[Argument, ...]
    returns: str
    returns_set: bool
    returns_table: tuple[str, str] | None
    volatility: Literal["immutable", "stable", "volatile"]
    is_void: bool

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the arguments that have to be given."""
        return tuple(each.name for each in self.arguments if not each.has_default and not each.variadic)

    @property
    def takes_json(self) -> bool:
        """Whether it takes any JSON, as its only argument, which has no name."""
        return len(self.arguments) == 1 and not self.arguments[0].name and self.arguments[0].type in _JSON


class Schema(Struct, frozen=True):
    """Everything that is exposed, at one moment; `version` is Postgres's server_version_num."""

    tables: Mapping[tuple[str, str], Table]
    references: tuple[Reference, ...]
    functions: Mapping[tuple[str, str], tuple[Function, ...]]
    version: int
