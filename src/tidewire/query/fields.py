"""`column->key->>0`: a column or a place within its JSON, as text and as SQL."""

import re

from msgspec import Struct

from tidewire.query.cursor import Cursor
from tidewire.query.errors import exceeded
from tidewire.query.scope import Scope
from tidewire.query.statement import Sql, compose, parameter

_index = re.compile(r"-?[0-9]{1,9}")
_JSON = frozenset({"json", "jsonb"})


class Step(Struct, frozen=True):
    """One arrow and the key behind it; digits are an index, as in PostgREST."""

    key: str
    as_text: bool


class Field(Struct, frozen=True):
    """A column, and the steps into its JSON."""

    name: str
    steps: tuple[Step, ...] = ()

    @property
    def output(self) -> str:
        """The name that the value has in an answer, unless it was given another."""
        return next((step.key for step in reversed(self.steps) if not _index.fullmatch(step.key)), self.name)


def read_field(cursor: Cursor) -> Field:
    """Read a field from where the cursor stands."""
    name = cursor.name()
    steps: list[Step] = []
    while cursor.take("->"):
        as_text = cursor.take(">")
        index = cursor.match(_index)
        steps.append(Step(index[0] if index else cursor.name(), as_text))
        if len(steps) > cursor.limits.max_depth:
            raise exceeded("steps into a JSON value", cursor.limits.max_depth)
    return Field(name, tuple(steps))


def field_sql(field: Field, scope: Scope) -> Sql:
    """Return the field's value in a table of the statement. Raises QueryError for a column that is not there."""
    value = scope.column(field.name)
    if field.steps and scope.type_of(field.name) not in _JSON:
        value = compose("pg_catalog.to_jsonb({})", value)
    for step in field.steps:
        key = parameter(step.key, "integer" if _index.fullmatch(step.key) else "text")
        value = compose("{} ->> {}" if step.as_text else "{} -> {}", value, key)
    return compose("({})", value) if field.steps else value
