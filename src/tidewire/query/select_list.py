"""The text of `select=`, `id,total:price::text,client:clients!inner(name),...address(city)`, becomes a tree."""

import re

from msgspec.structs import replace

from tidewire.query.cursor import Cursor
from tidewire.query.errors import QueryError, exceeded
from tidewire.query.fields import read_field
from tidewire.query.limits import Limits
from tidewire.query.resource import Item, Resource, Star

CASTS = {
    "text": "text", "varchar": "text", "json": "json", "jsonb": "jsonb", "uuid": "uuid", "bytea": "bytea",
    "bool": "boolean", "boolean": "boolean",
    "smallint": "smallint", "int2": "smallint", "integer": "integer", "int": "integer", "int4": "integer",
    "bigint": "bigint", "int8": "bigint", "numeric": "numeric", "decimal": "numeric",
    "real": "real", "float4": "real", "double precision": "double precision", "float8": "double precision",
    "float": "double precision",
    "date": "date", "time": "time", "timetz": "timetz", "timestamp": "timestamp", "timestamptz": "timestamptz",
    "timestamp with time zone": "timestamptz", "timestamp without time zone": "timestamp", "interval": "interval",
}  # fmt: skip

_cast = re.compile(r"[A-Za-z][A-Za-z0-9_ ]*(?:\[\])?")
_aggregate = re.compile(r"\.(count|sum|avg|max|min)\(\)")


def parse_select(text: str, root: Resource, limits: Limits) -> None:
    """Add what the text asks for to the root."""
    cursor = Cursor(text, "select parameter", limits)
    _read_items(cursor, root, [0, 0])
    cursor.finish()


def parse_names(text: str, what: str, limits: Limits) -> tuple[str, ...]:
    """Read names that stand between commas, each once."""
    cursor = Cursor(text, what, limits)
    found = {cursor.name(): None}
    while cursor.take(","):
        found[cursor.name()] = None
        if len(found) > limits.max_fields:
            raise exceeded("columns", limits.max_fields)
    cursor.finish()
    return tuple(found)


def _read_items(cursor: Cursor, into: Resource, counts: list[int]) -> None:
    """Read items up to a closing parenthesis or the end; `counts` are the fields and resources of the whole text."""
    if cursor.at_end or cursor.peek(")"):
        return
    while True:
        item = _read_item(cursor, counts)
        into.items.append(item)
        counts[isinstance(item, Resource)] += 1
        if counts[0] > cursor.limits.max_fields:
            raise exceeded("selected fields", cursor.limits.max_fields)
        if counts[1] > cursor.limits.max_resources:
            raise exceeded("embedded resources", cursor.limits.max_resources)
        if not cursor.take(","):
            return


def _read_item(cursor: Cursor, counts: list[int]) -> Item | Star | Resource:
    if cursor.take("*"):
        return Star()
    if cursor.take("..."):
        return _read_resource(cursor, cursor.name(), None, counts, spread=True)
    alias: str | None = None
    field = read_field(cursor)
    if cursor.peek(":") and not cursor.peek("::") and not field.steps:
        cursor.expect(":")
        alias, field = field.name, read_field(cursor)
    if not field.steps and (cursor.peek("(") or cursor.peek("!")):
        if field.name == "count" and cursor.take("()"):
            return _aggregated(cursor, Item(None, alias, aggregate="count"))
        return _read_resource(cursor, field.name, alias, counts, spread=False)
    item = Item(field, alias, _read_cast(cursor))
    found = cursor.match(_aggregate)
    return item if found is None else _aggregated(cursor, replace(item, aggregate=found[1]))


def _aggregated(cursor: Cursor, item: Item) -> Item:
    if not cursor.limits.aggregates:
        raise QueryError(400, "PGRST123", "Use of aggregate functions is not allowed")
    return replace(item, result_cast=_read_cast(cursor))


def _read_resource(cursor: Cursor, name: str, alias: str | None, counts: list[int], *, spread: bool) -> Resource:
    resource = Resource(name, alias, spread=spread)
    if spread and cursor.take(":"):
        resource.alias, resource.name = name, cursor.name()
    while cursor.take("!"):
        modifier = cursor.name()
        if modifier in {"inner", "left"}:
            resource.inner = modifier == "inner"
        else:
            resource.hint = modifier
    cursor.expect("(")
    cursor.enter()
    _read_items(cursor, resource, counts)
    cursor.leave()
    cursor.expect(")")
    return resource


def _read_cast(cursor: Cursor) -> str | None:
    if not cursor.take("::"):
        return None
    found = cursor.match(_cast)
    if found is None:
        raise cursor.refused("a type")
    base = found[0].removesuffix("[]")
    if base.lower() not in CASTS:
        raise QueryError(
            400, "42704", "casting a field: expected a built-in type", hint=f"use one of {', '.join(CASTS)}"
        )
    return CASTS[base.lower()] + found[0][len(base) :]
