"""Turns conditions into a query that asks Postgres about a row of the log. Builds text and parameters; runs nothing.

The query reads no table: a value gets its column's type by standing beside that column of a NULL of the table's row
type, which needs no privilege on the table. Run it as the reader's role, in a session whose TimeZone is UTC, with a
search_path in which only trusted schemas come before or after pg_catalog, because operators are found through it.
"""

import re
from collections.abc import Sequence

from msgspec import Struct

from tidewire.filters.checks import find_column
from tidewire.filters.grammar import Condition
from tidewire.model.change import ABSENT, Row
from tidewire.model.errors import ConfigurationError
from tidewire.model.relation import Column, Relation

_OPERATORS = {
    "eq": "= %s",
    "neq": "<> %s",
    "lt": "< %s",
    "lte": "<= %s",
    "gt": "> %s",
    "gte": ">= %s",
    "in": "= any (%s)",
    "like": "like %s",
    "ilike": "ilike %s",
    "match": "~ %s",
    "imatch": "~* %s",
    "isdistinct": "is distinct from %s",
}
_escaped = re.compile(r"\\(.)", re.DOTALL)
_KEYWORDS = frozenset({"null", "true", "false", "unknown"})


class FilterQuery(Struct, frozen=True):
    """A query with one boolean as its result. Execute `text` with `parameters(row)`, all bound as untyped text."""

    text: str
    _places: tuple[int, ...]
    _constants: tuple[str | None, ...]
    _probe_values: tuple[str | None, ...]

    def parameters(self, row: Row) -> list[str | None] | None:
        """Return the parameters for a row; None when a column is ABSENT: then do not deliver and do not ask."""
        values: list[str | None] = []
        for place in self._places:
            value = row[place]
            if value is ABSENT:
                return None
            values.append(value)
        return self._interleave(values)

    def probe(self) -> list[str | None]:
        """Return parameters that make Postgres read every constant and pattern: an error now spares one per row."""
        return self._interleave(self._probe_values)

    def _interleave(self, values: Sequence[str | None]) -> list[str | None]:
        parameters: list[str | None] = []
        for value, constant in zip(values, self._constants, strict=True):
            parameters.append(value)
            if constant is not None:
                parameters.append(constant)
        return parameters


def filter_query(conditions: Sequence[Condition], relation: Relation) -> FilterQuery:
    """Return the query that answers the conditions, with `%s` for parameters. Raises ConfigurationError."""
    table = f"{quote_identifier(relation.schema)}.{quote_identifier(relation.name)}"
    terms: list[str] = []
    places: list[int] = []
    constants: list[str | None] = []
    for condition in conditions:
        place, column = find_column(condition, relation)
        value = f"coalesce((null::{table}).{quote_identifier(column.name)}, %s)"
        term, constant = _term(condition, column)
        terms.append(f"not ({value} {term})" if condition.negated else f"({value} {term})")
        places.append(place)
        constants.append(constant)
    probe_values = tuple(_probe_value(condition) for condition in conditions)
    return FilterQuery(f"select {' and '.join(terms) or 'true'}", tuple(places), tuple(constants), probe_values)


def quote_identifier(name: str) -> str:
    """Quote a name for a query with `%s` placeholders: quotes are doubled, and so are percent signs."""
    if not name or "\0" in name:
        raise ConfigurationError("quoting a name: expected at least one character and none that is zero")
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


def _term(condition: Condition, column: Column) -> tuple[str, str | None]:
    if isinstance(condition.value, tuple):
        return _OPERATORS["in"], _array_literal(condition.value, column.type.delimiter)
    if condition.operator == "is":
        # The one operand that cannot be a parameter.
        if condition.value not in _KEYWORDS:
            raise ConfigurationError("invalid value for is filter: must be null, true, false, or unknown")
        return f"is {condition.value}", None
    return _OPERATORS[condition.operator], condition.value


def _probe_value(condition: Condition) -> str | None:
    """Patterns are read only when there is a text to match, and those of `like` only as far as the text matches."""
    if isinstance(condition.value, str) and condition.operator in {"like", "ilike"}:
        return _escaped.sub(r"\1", condition.value)
    return "" if condition.operator in {"match", "imatch"} else None


def _array_literal(values: tuple[str | None, ...], delimiter: str) -> str:
    return "{" + delimiter.join("NULL" if value is None else _quoted(value) for value in values) + "}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
