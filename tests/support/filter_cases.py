"""Reads spec/filters.jsonl, and builds relations for its cases without a database."""

import json
from pathlib import Path
from typing import Any

from msgspec import Struct

from tidewire.model.change import ABSENT, Row
from tidewire.model.relation import Column, PgType, Relation

SPEC = Path(__file__).parents[2] / "spec" / "filters.jsonl"

_OIDS = {
    "bool": 16,
    "bytea": 17,
    "name": 19,
    "int8": 20,
    "int2": 21,
    "int4": 23,
    "text": 25,
    "oid": 26,
    "json": 114,
    "float4": 700,
    "float8": 701,
    "inet": 869,
    "bpchar": 1042,
    "varchar": 1043,
    "date": 1082,
    "time": 1083,
    "timestamp": 1114,
    "timestamptz": 1184,
    "interval": 1186,
    "numeric": 1700,
    "uuid": 2950,
    "jsonb": 3802,
}
_ARRAYS = {"int4": 1007, "text": 1009}


class Case(Struct, frozen=True):
    """One line. `ask`: only Postgres can tell, so the compiler must refuse or leave the row open."""

    filter: str
    columns: dict[str, str]
    row: dict[str, str | None] | None = None
    answer: bool | None = None
    error: str | None = None
    ask: bool = False

    @property
    def values(self) -> Row:
        assert self.row is not None
        return tuple(self.row.get(name, ABSENT) for name in self.columns)

    @property
    def complete(self) -> bool:
        return self.row is not None and self.row.keys() == self.columns.keys()

    @property
    def locales(self) -> dict[str, str]:
        return {name: "C" for name, type_name in self.columns.items() if type_name.endswith('collate "C"')}


def read_cases() -> list[Case]:
    """Return every case of the specification, in its order."""
    return [Case(**json.loads(line)) for line in SPEC.read_text(encoding="utf-8").splitlines()]


def build_relation(columns: dict[str, str], **of_column: Any) -> Relation:
    """Return a table with columns of these SQL types; keyword arguments replace a column's type."""
    made = tuple(Column(name, of_column.get(name) or build_type(type_name)) for name, type_name in columns.items())
    return Relation(16384, "public", "orders", "full", made)


def build_type(name: str) -> PgType:
    """Return a built-in type by its SQL name; length and collation do not belong to the type."""
    name = name.partition(" collate")[0].partition("(")[0]
    if name.endswith("[]"):
        element = build_type(name.removesuffix("[]"))
        return PgType(_ARRAYS[element.name], f"_{element.name}", "array", element)
    name = "bpchar" if name == "char" else name
    return PgType(_OIDS[name], name)
