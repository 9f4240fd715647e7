"""What one role may use of one schema, with the comments on it, read from the catalog's answer. Decides nothing."""

import msgspec
from msgspec import Struct


class UsableColumn(Struct, frozen=True, array_like=True):
    """A column as far as it concerns who reads about it. `element` is the type within an array, else the type itself.

    `kind` is that of the element in the catalog's letters, and a domain is what it is a domain over.
    """

    name: str
    type: str
    element: str
    kind: str
    is_array: bool
    labels: tuple[str, ...] | None
    length: int | None
    comment: str | None
    readable: bool
    insertable: bool
    updatable: bool


class UsableTable(Struct, frozen=True):
    """A table of which the role may use something."""

    comment: str | None
    deletable: bool
    columns: tuple[UsableColumn, ...]


class UsableFunction(Struct, frozen=True, array_like=True):
    """An overload of a function: whether the role may call it."""

    callable: bool
    comment: str | None


class Usable(Struct, frozen=True):
    """Tables by name, and of functions every overload in the order of the Schema. Empty without the right to look."""

    comment: str | None = None
    tables: dict[str, UsableTable] = {}
    functions: dict[str, tuple[UsableFunction, ...]] = {}


def read_usable(text: str | bytes) -> Usable:
    """Return what the catalog's answer says."""
    return msgspec.json.decode(text, type=Usable)
