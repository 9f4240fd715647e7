"""Reads types and relations from a real catalog for tests that need a PgType. Shares no code with what they test."""

from typing import Any

from psycopg import Connection

from tidewire.model.relation import Column, PgType, Relation, TypeKind

KINDS: dict[str, TypeKind] = {
    "b": "base",
    "c": "composite",
    "d": "domain",
    "e": "enum",
    "r": "range",
    "m": "multirange",
}


def read_type(connection: Connection[Any], name: str) -> PgType:
    """Return the type that this SQL name means; a length such as `char(7)` may be part of the name."""
    row = connection.execute("select %s::regtype::oid", (name,)).fetchone()
    assert row is not None
    return _read(connection, row[0])


def read_relation(connection: Connection[Any], name: str) -> Relation:
    """Return a table as the log would describe it under REPLICA IDENTITY FULL."""
    row = connection.execute(
        "select c.oid, n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.oid = %s::regclass",
        (name,),
    ).fetchone()
    assert row is not None
    oid, schema, relname = row
    columns = tuple(
        Column(column, _read(connection, type_oid), identity=True) for column, type_oid in _attributes(connection, oid)
    )
    return Relation(oid, schema, relname, "full", columns)


def _read(connection: Connection[Any], oid: int) -> PgType:
    row = connection.execute(
        "select t.typname, t.typtype, t.typelem, t.typbasetype, t.typrelid, t.typdelim,"
        " t.typsubscript = 'array_subscript_handler'::regproc and t.typlen = -1 and e.typarray = t.oid"
        " from pg_type t left join pg_type e on e.oid = t.typelem where t.oid = %s",
        (oid,),
    ).fetchone()
    assert row is not None
    name, kind, element, base, relation, delimiter, is_array = row
    attributes = _attributes(connection, relation) if kind == "c" else []
    return PgType(
        oid=oid,
        name=name,
        kind="array" if is_array else KINDS[kind],
        element=_read(connection, element) if is_array else None,
        base=_read(connection, base) if kind == "d" else None,
        attributes=tuple((attribute, _read(connection, part)) for attribute, part in attributes),
        delimiter=delimiter,
    )


def _attributes(connection: Connection[Any], relation: int) -> list[tuple[str, int]]:
    return connection.execute(
        "select attname, atttypid from pg_attribute where attrelid = %s and attnum > 0 and not attisdropped"
        " order by attnum",
        (relation,),
    ).fetchall()
