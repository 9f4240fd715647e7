"""What the log leaves out about a table: names and parts of types, and the primary key. Reads; never writes."""

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

    async def describe(self, message: RelationMessage) -> Relation:
        """Return the table's shape with types and key. A type that is gone by now is read as plain text."""
        oids = sorted({column.type_oid for column in message.columns})
        with translated("reading the catalog"):
            cursor = await self._connection.execute(queries.load("catalog_types"), {"oids": oids})
            types = {row[0]: row for row in await cursor.fetchall()}
            cursor = await self._connection.execute(queries.load("catalog_primary_key"), {"relation": message.oid})
            primary = {name for (name,) in await cursor.fetchall()}
        columns = tuple(
            Column(
                name=column.name,
                type=_build_type(column.type_oid, types),
                identity=column.identity,
                primary=column.name in primary,
                typmod=column.typmod,
            )
            for column in message.columns
        )
        return Relation(message.oid, message.schema, message.name, message.identity, columns)


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
