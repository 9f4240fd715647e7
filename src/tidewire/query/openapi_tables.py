"""A table as a part of the document: its rows, what may be written, and the operations that the role may carry out."""

import re
from typing import Any

from msgspec import Struct

from tidewire.query import openapi_parts as parts
from tidewire.query.cursor import as_name
from tidewire.query.openapi_types import column_schema
from tidewire.query.schema import Column, Reference, Table
from tidewire.query.usable import UsableColumn, UsableTable

Part = dict[str, Any]

_QUOTED = frozenset({"select", "columns", "on_conflict"})
"""Parameters that hide a column of the same name, unless it is written in quotes."""
_HIDDEN = frozenset({"order", "limit", "offset", "and", "or"})
"""Parameters that always hide a column of the same name; logic trees can still ask for it."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]")


class TableFacts(Struct, frozen=True):
    """A table with its columns, what the role may do with each, and the keys of other tables that they hold."""

    table: Table
    usable: UsableTable
    columns: tuple[tuple[Column, UsableColumn], ...]
    references: tuple[Reference, ...]

    @property
    def readable(self) -> bool:
        return any(may.readable for _, may in self.columns)

    @property
    def insertable(self) -> bool:
        return self.table.insertable and any(may.insertable for _, may in self.columns)

    @property
    def updatable(self) -> bool:
        return self.table.updatable and any(may.updatable for _, may in self.columns)

    @property
    def deletable(self) -> bool:
        return self.table.deletable and self.usable.deletable


def component(name: str) -> str:
    """Return the name of a part that is called after a table or column: letters, digits, and codes between points."""
    return "".join(each if _PLAIN.match(each) else f".{ord(each):x}." for each in name)


def table_schemas(facts: TableFacts) -> dict[str, Part]:
    """Return the parts that say what rows are like: as they are read, added and changed."""
    key = component(facts.table.name)
    found = {key: _row(facts)}
    if facts.insertable:
        found[f"{key}.insert"] = _written(facts, "insertable")
    if facts.updatable:
        found[f"{key}.update"] = _written(facts, "updatable")
    return found


def table_response(facts: TableFacts) -> dict[str, Part]:
    """Return the part that says what an answer with rows is like."""
    key = component(facts.table.name)
    return {key: parts.rows_answer(parts.reference("schemas", key))}


def table_parameters(facts: TableFacts) -> dict[str, Part]:
    """Return the filters, one for each column that may be read."""
    return {
        _filter_name(facts, column): {
            "name": as_name(column.name, quoted=column.name in _QUOTED),
            "in": "query",
            **_described(may.comment),
            "schema": parts.reference("schemas", "api.filter"),
        }
        for column, may in _filtered(facts)
    }


def table_operations(facts: TableFacts) -> Part:
    """Return what may be done with the table, by method."""
    rows, done = parts.reference("responses", component(facts.table.name)), parts.reference("responses", "api.done")
    filters = (*(_filter_name(facts, column) for column, _ in _filtered(facts)), "and", "or")
    found: Part = {}
    if facts.readable:
        found["get"] = _operation(
            facts,
            "Read rows",
            ["select", *filters, "order", "limit", "offset", "Range", "Prefer.read", "Accept-Profile"],
            {"200": rows, "206": rows},
        )
    if facts.insertable:
        asked = ["select", "columns", "on_conflict", "Prefer.insert", "Content-Profile"]
        found["post"] = {**_operation(facts, "Add rows", asked, {"201": rows}), **_body(facts, "insert")}
    if facts.updatable:
        asked = ["select", *filters, "columns", "Prefer.update", "Content-Profile"]
        found["patch"] = {
            **_operation(facts, "Change rows", asked, {"200": rows, "204": done}),
            **_body(facts, "update"),
        }
    if facts.deletable:
        asked = ["select", *filters, "Prefer.delete", "Content-Profile"]
        found["delete"] = _operation(facts, "Delete rows", asked, {"200": rows, "204": done})
    return found


def _operation(facts: TableFacts, summary: str, asked: list[str], answers: dict[str, Part]) -> Part:
    return {
        "tags": [facts.table.name],
        "summary": summary,
        **_described(facts.usable.comment),
        "parameters": [parts.reference("parameters", each) for each in asked],
        "responses": parts.with_refusals(answers),
    }


def _body(facts: TableFacts, kind: str) -> Part:
    schema = parts.reference("schemas", f"{component(facts.table.name)}.{kind}")
    taken = {"anyOf": [schema, {"type": "array", "items": schema}]} if kind == "insert" else schema
    return {"requestBody": {"required": True, "content": {parts.JSON: {"schema": taken}}}}


def _filtered(facts: TableFacts) -> list[tuple[Column, UsableColumn]]:
    return [(column, may) for column, may in facts.columns if may.readable and column.name not in _HIDDEN]


def _filter_name(facts: TableFacts, column: Column) -> str:
    return f"filter.{component(facts.table.name)}.{component(column.name)}"


def _row(facts: TableFacts) -> Part:
    columns = {column.name: _column(facts, column, may) for column, may in facts.columns if may.readable}
    return {"type": "object", "title": facts.table.name, **_described(facts.usable.comment), "properties": columns}


def _written(facts: TableFacts, may_be: str) -> Part:
    """Return what a body may hold; in a new row some columns have to be there."""
    writable = [(column, may) for column, may in facts.columns if getattr(may, may_be) and not column.generated]
    needed = [
        column.name
        for column, _ in writable
        if may_be == "insertable" and not column.nullable and not column.has_default
    ]
    return {
        "type": "object",
        "title": facts.table.name,
        **({"required": needed} if needed else {}),
        "properties": {column.name: _column(facts, column, may) for column, may in writable},
        "additionalProperties": False,
    }


def _column(facts: TableFacts, column: Column, may: UsableColumn) -> Part:
    """Return a column's schema; its keys are told in the words and marks that tools look for."""
    notes = [] if may.comment is None else [may.comment]
    if column.primary:
        notes.append("Note:\nThis is a Primary Key.<pk/>")
    for reference in facts.references:
        if column.name in reference.columns:
            table, target = reference.to_table, reference.to_columns[reference.columns.index(column.name)]
            notes.append(f"Note:\nThis is a Foreign Key to `{table}.{target}`.<fk table='{table}' column='{target}'/>")
    return {**column_schema(may, nullable=column.nullable), **_described("\n\n".join(notes))}


def _described(text: str | None) -> Part:
    return {"description": text} if text else {}
