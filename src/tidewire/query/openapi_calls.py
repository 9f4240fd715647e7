"""A function as a part of the document: by GET where it changes nothing, by POST always, with all of its overloads."""

from typing import Any

from tidewire.query import openapi_parts as parts
from tidewire.query.openapi_types import type_schema
from tidewire.query.schema import Function
from tidewire.query.usable import UsableFunction

Part = dict[str, Any]
Overloads = list[tuple[Function, UsableFunction]]

_TAKEN = frozenset({"select", "order", "limit", "offset", "and", "or", "columns", "on_conflict"})
"""Parameters that are never arguments of a function."""


def call_operations(name: str, overloads: Overloads) -> Part:
    """Return how the function may be called, by method."""
    comments = [may.comment for _, may in overloads if may.comment]
    described = {"description": "\n\n".join(comments)} if comments else {}
    functions = [function for function, _ in overloads]
    answers = parts.with_refusals(_answers(functions))
    common = {"tags": [f"rpc {name}"], "summary": "Call the function", **described}
    window = _window(functions)
    found: Part = {}
    reading = [each for each in functions if _may_be_got(each)]
    if reading:
        shared = [parts.reference("parameters", each) for each in (*window, "Prefer.call", "Accept-Profile")]
        found["get"] = {**common, "parameters": [*_arguments(reading), *shared], "responses": answers}
    bodies = [_body(each) for each in functions]
    found["post"] = {
        **common,
        "parameters": [parts.reference("parameters", each) for each in (*window, "Prefer.call", "Content-Profile")],
        "requestBody": {
            "required": any(each.takes_json or each.required for each in functions),
            "content": {parts.JSON: {"schema": bodies[0] if len(bodies) == 1 else {"anyOf": bodies}}},
        },
        "responses": answers,
    }
    return found


def _may_be_got(function: Function) -> bool:
    return function.volatility != "volatile" and not function.takes_json and not _TAKEN & set(function.required)


def _window(functions: list[Function]) -> tuple[str, ...]:
    """Return the parameters that a set has; only its rows, not its plain values, have columns to choose from."""
    sets = [each for each in functions if each.returns_set]
    rows = any(each.returns_table or each.returns == "record" for each in sets)
    return ("select", "order", "limit", "offset") if rows else ("limit", "offset") if sets else ()


def _arguments(functions: list[Function]) -> list[Part]:
    """Return the arguments as parameters; one that not every overload needs need not be there."""
    names = dict.fromkeys(argument.name for function in functions for argument in function.arguments)
    names = {name: None for name in names if name not in _TAKEN}
    found = []
    for name in names:
        taking = [each for function in functions for each in function.arguments if each.name == name]
        required = all(name in function.required for function in functions)
        found.append(
            {
                "name": name,
                "in": "query",
                "required": required,
                "description": " or ".join(dict.fromkeys(each.type for each in taking)),
                "schema": {"type": "string"},
            }
        )
    return found


def _body(function: Function) -> Part:
    if function.takes_json:
        return type_schema(function.arguments[0].type)
    return {
        "type": "object",
        **({"required": list(function.required)} if function.required else {}),
        "properties": {argument.name: type_schema(argument.type) for argument in function.arguments},
        "additionalProperties": False,
    }


def _answers(functions: list[Function]) -> dict[str, Part]:
    found: dict[str, Part] = {}
    if any(not each.is_void for each in functions):
        schemas = [_value(each) for each in functions if not each.is_void]
        schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        content = {parts.JSON: {"schema": schema}, parts.OBJECT: {"schema": {}}, parts.CSV: {"schema": {}}}
        found["200"] = {"description": "What the function returned", "content": content}
        if any(each.returns_set for each in functions):
            found["206"] = {"description": "Some of the rows that the function returned", "content": content}
    found["204"] = parts.reference("responses", "api.done")
    return found


def _value(function: Function) -> Part:
    """Return the schema of what a function returns; a table's rows are not repeated here, as a role may not see all."""
    one: Part = {"type": ["object", "null"]} if function.returns_table else type_schema(function.returns)
    return {"type": "array", "items": one} if function.returns_set else one
