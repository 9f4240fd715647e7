"""Everything that one role may use of one schema, as an OpenAPI 3.1 document. The same input gives the same bytes."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from tidewire.query import openapi_parts as parts
from tidewire.query.limits import Limits
from tidewire.query.openapi_calls import Overloads, call_operations
from tidewire.query.openapi_tables import TableFacts, table_operations, table_parameters, table_response, table_schemas
from tidewire.query.schema import Reference, Schema
from tidewire.query.usable import Usable

Document = dict[str, Any]

MOST_MEMBERS = 10_000
"""So many columns and arguments are described, in about 6 MB. A schema may hold more, but few tools could read that."""


class Asked(Struct, frozen=True):
    """What to describe: the schema called `name`, as `usable` says, below `base`, in words of this `version`."""

    schema: Schema
    name: str
    usable: Usable
    limits: Limits
    base: str
    version: str
    most_members: int = MOST_MEMBERS


def describe(asked: Asked) -> Document:
    """Return the document. Names come in alphabetical order, columns and arguments in their own."""
    tables, functions, left_out = _within_budget(asked)
    limits, is_default = asked.limits, asked.name == asked.limits.schemas[0]
    components: Document = {
        "schemas": {"api.filter": parts.filter_schema(), "api.error": parts.error_schema()},
        "parameters": parts.shared_parameters(asked.name, default_schema=is_default, max_rows=limits.max_rows),
        "responses": parts.shared_responses(),
        "securitySchemes": parts.security_schemes(),
    }
    paths: Document = {"/": {"get": _own_operation()}}
    for table in tables:
        paths[f"/{quote(table.table.name, safe='')}"] = table_operations(table)
        components["schemas"].update(table_schemas(table))
        components["parameters"].update(table_parameters(table))
        components["responses"].update(table_response(table))
    for name, overloads in functions:
        paths[f"/rpc/{quote(name, safe='')}"] = call_operations(name, overloads)
    return {
        "openapi": "3.1.0",
        "info": _info(asked, left_out),
        "servers": [{"url": asked.base}],
        "security": [{"bearer": []}, {"apikey": []}],
        "paths": paths,
        "components": components,
    }


def _info(asked: Asked, left_out: int) -> Document:
    title, _, description = (asked.usable.comment or f"Schema {asked.name}").strip().partition("\n")
    if left_out:
        description += f"\n\n{left_out} tables and functions are left out, because this would be too long."
    return {"title": title, "version": asked.version, **({"description": description.strip()} if description else {})}


def _own_operation() -> Document:
    document = {"description": "This document", "content": {"application/openapi+json": {"schema": {"type": "object"}}}}
    return {
        "summary": "What may be used, as this document",
        "tags": ["schema"],
        "responses": parts.with_refusals({"200": document, "304": {"description": "It is what If-None-Match names"}}),
    }


def _within_budget(asked: Asked) -> tuple[list[TableFacts], list[tuple[str, Overloads]], int]:
    """Return tables and functions to describe, and how many are left out."""
    budget, left_out = asked.most_members, 0
    tables: list[TableFacts] = []
    functions: list[tuple[str, Overloads]] = []
    for table in _tables(asked):
        budget -= len(table.columns)
        if budget >= 0:
            tables.append(table)
        left_out += budget < 0
    for name, overloads in _functions(asked):
        budget -= sum(1 + len(function.arguments) for function, _ in overloads)
        if budget >= 0:
            functions.append((name, overloads))
        left_out += budget < 0
    return tables, functions, left_out


def _tables(asked: Asked) -> Iterator[TableFacts]:
    """Find the tables that both know; one that was just made or dropped waits for the next document."""
    leaving = _by_table(asked.schema.references)
    for name in sorted(asked.usable.tables):
        table = asked.schema.tables.get((asked.name, name))
        if table is not None:
            usable = asked.usable.tables[name]
            known = {column.name: column for column in usable.columns}
            columns = tuple((each, known[each.name]) for each in table.columns if each.name in known)
            yield TableFacts(table, usable, columns, leaving.get((table.schema, name), ()))


def _by_table(references: tuple[Reference, ...]) -> Mapping[tuple[str, str], tuple[Reference, ...]]:
    found: dict[tuple[str, str], tuple[Reference, ...]] = {}
    for each in references:
        found[each.schema, each.table] = (*found.get((each.schema, each.table), ()), each)
    return found


def _functions(asked: Asked) -> Iterator[tuple[str, Overloads]]:
    """Find the overloads that may be called, by name: all arguments have one, or the only one takes any JSON."""
    for name in sorted(asked.usable.functions):
        overloads = asked.schema.functions.get((asked.name, name), ())
        usable = asked.usable.functions[name]
        if len(overloads) != len(usable):  # one of both was read before a change of the other
            continue
        found = [
            (function, may)
            for function, may in zip(overloads, usable, strict=True)
            if may.callable and (function.takes_json or all(each.name for each in function.arguments))
        ]
        if found:
            yield name, found
