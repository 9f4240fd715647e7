"""The types of Postgres as JSON Schema: what their values look like in answers and bodies."""

from typing import Any

from tidewire.query.usable import UsableColumn

Schema = dict[str, Any]

_TYPES: dict[str, Schema] = {
    "smallint": {"type": "integer", "format": "int32", "minimum": -32768, "maximum": 32767},
    "integer": {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1},
    "bigint": {"type": "integer", "format": "int64"},
    "real": {"type": "number", "format": "float"},
    "double precision": {"type": "number", "format": "double"},
    "numeric": {"type": "number"},
    "boolean": {"type": "boolean"},
    "uuid": {"type": "string", "format": "uuid"},
    "date": {"type": "string", "format": "date"},
    "timestamp with time zone": {"type": "string", "format": "date-time"},
    "json": {},
    "jsonb": {},
    "record": {"type": "object"},
}
_TEXT: Schema = {"type": "string"}
_COMPOSITE, _DOMAIN = "c", "d"


def column_schema(column: UsableColumn, *, nullable: bool) -> Schema:
    """Return the schema of a column's values; the exact type stands in `x-postgres-type`."""
    if column.kind == _COMPOSITE:
        element: Schema = {"type": "object"}
    elif column.kind == _DOMAIN:  # over another domain
        element = {}
    elif column.labels is not None:
        element = {"type": "string", "enum": list(column.labels)}
    else:
        element = dict(_TYPES.get(column.element, _TEXT))
    if column.length is not None and not column.is_array:
        element["maxLength"] = column.length
    schema = _array_of(element) if column.is_array else element
    return {**(_or_null(schema) if nullable else schema), "x-postgres-type": column.type}


def type_schema(type_name: str) -> Schema:
    """Return the schema of what a function takes or returns, of which only the type's name is known: it may be NULL."""
    element = type_name.removesuffix("[]")
    known = _TYPES.get(element)
    # What is written with its schema is somebody's own type, and may be anything.
    schema = dict(known) if known is not None else {} if "." in element else dict(_TEXT)
    return {**_or_null(_array_of(schema) if element != type_name else schema), "x-postgres-type": type_name}


def _array_of(element: Schema) -> Schema:
    """An array may have more than one dimension, which its type does not tell, and NULL within."""
    return {"type": "array", "items": _or_null(element)}


def _or_null(schema: Schema) -> Schema:
    if "type" not in schema:
        return schema
    changed = {**schema, "type": [schema["type"], "null"]}
    if "enum" in changed:
        changed["enum"] = [*changed["enum"], None]
    return changed
