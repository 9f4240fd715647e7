"""What is known about a table: its columns, their types, its replica identity. The catalog fills them in."""

from typing import Final, Literal

from msgspec import Struct

MESSAGES: Final = ("realtime", "messages")
"""The table of private broadcasts. Its policies say who may take part in a topic: its rows are shown there only."""

TypeKind = Literal["base", "array", "composite", "domain", "enum", "range", "multirange"]
ReplicaIdentity = Literal["default", "full", "index", "nothing"]


class PgType(Struct, frozen=True):
    """A Postgres type, with everything needed to turn its text form into JSON.

    `element` belongs to arrays, `base` to domains, `attributes` to composites; `delimiter` separates array elements.
    """

    oid: int
    name: str
    kind: TypeKind = "base"
    element: "PgType | None" = None
    base: "PgType | None" = None
    attributes: tuple[tuple[str, "PgType"], ...] = ()
    delimiter: str = ","


class Column(Struct, frozen=True):
    """One column. `identity`: the log carries its old value. `primary`: part of the primary key."""

    name: str
    type: PgType
    identity: bool = False
    primary: bool = False
    typmod: int = -1


class Relation(Struct, frozen=True):
    """One version of a table's shape. Rows in the log are tuples aligned with `columns`."""

    oid: int
    schema: str
    name: str
    identity: ReplicaIdentity
    columns: tuple[Column, ...]

    @property
    def qualified_name(self) -> str:
        return f"{self.schema}.{self.name}"
