"""What the log leaves out about a table: names and parts of types, and the primary key. Reads; never writes."""

from collections.abc import Iterable
from typing import Any

import psycopg

from tidewire.model.relation import Column, PgType, Relation, TypeKind
from tidewire.postgres import queries
from tidewire.postgres.connection import translated
from tidewire.wal.pgoutput import RelationMessage

_KINDS: dict[str, TypeKind] = {
    "b": "base",
    "c": "composite",
    "d": "domain",
    "e": "enum",
    "r": "range",
    "m": "multirange",
    "p": "base",
}


class Catalog:
    """Completes relation messages on a connection of its own: the replication connection is busy with the log."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._types: dict[int, PgType] = {}

    async def describe(self, message: RelationMessage) -> Relation:
        """Return the table's shape with types and key. A type that is gone by now is read as plain text."""
        with translated("reading the catalog"):
            await self._load_types({column.type_oid for column in message.columns})
            cursor = await self._connection.execute(queries.load("catalog_primary_key"), {"relation": message.oid})
            primary = {name for (name,) in await cursor.fetchall()}
        columns = tuple(
            Column(
                name=column.name,
                type=self._types.get(column.type_oid) or PgType(column.type_oid, "unknown"),
                identity=column.identity,
                primary=column.name in primary,
                typmod=column.typmod,
            )
            for column in message.columns
        )
        return Relation(message.oid, message.schema, message.name, message.identity, columns)

    async def _load_types(self, oids: Iterable[int]) -> None:
        missing = [oid for oid in oids if oid not in self._types]
        if not missing:
            return
        cursor = await self._connection.execute(queries.load("catalog_types"), {"oids": missing})
        rows = {row[0]: row for row in await cursor.fetchall()}
        for oid in missing:
            if oid in rows:
                self._types[oid] = _build_type(oid, rows)


def _build_type(oid: int, rows: dict[int, tuple[Any, ...]]) -> PgType:
    """Nest the flat rows. Postgres forbids a type that contains itself, so this ends."""
    if oid not in rows:
        return PgType(oid, "unknown")
    _, name, kind, element, base, delimiter, attribute_names, attribute_types = rows[oid]
    return PgType(
        oid=oid,
        name=name,
        kind="array" if element is not None else _KINDS.get(kind, "base"),
        element=_build_type(element, rows) if element is not None else None,
        base=_build_type(base, rows) if base is not None else None,
        attributes=tuple(
            (attribute, _build_type(type_oid, rows))
            for attribute, type_oid in zip(attribute_names, attribute_types, strict=True)
        ),
        delimiter=delimiter,
    )
