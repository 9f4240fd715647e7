"""The texts of `order=`, `limit=` and `offset=` and of the Range header become terms and numbers."""

import re
from typing import Literal

from tidewire.query.cursor import Cursor
from tidewire.query.errors import QueryError, exceeded, unparsable
from tidewire.query.fields import read_field
from tidewire.query.limits import Limits
from tidewire.query.resource import OrderTerm

_DIRECTIONS = ("asc", "desc")
_NULLS = {"nullsfirst": "nulls first", "nullslast": "nulls last"}
_number = re.compile(r"[0-9]{1,18}")
_range = re.compile(r"(?:items=)?([0-9]{1,18})-([0-9]{1,18})?")


def parse_order(text: str, limits: Limits) -> list[OrderTerm]:
    """Read the terms of an order, the first of which decides first."""
    cursor = Cursor(text, "order", limits)
    terms: list[OrderTerm] = []
    while not terms or cursor.take(","):
        terms.append(_read_term(cursor))
        if len(terms) > limits.max_conditions:
            raise exceeded("terms of an order", limits.max_conditions)
    cursor.finish()
    return terms


def parse_number(text: str, what: Literal["limit", "offset"]) -> int:
    """Read a limit or an offset."""
    if text.startswith("-") and _number.fullmatch(text, 1):
        raise not_satisfiable(f"{what.capitalize()} should be greater than or equal to zero.")
    if not _number.fullmatch(text):
        raise unparsable(what, "expected a whole number")
    return int(text)


def parse_range(text: str) -> tuple[int, int | None]:
    """Read `0-9` as offset 0 and limit 10, and `5-` as offset 5 without a limit."""
    found = _range.fullmatch(text.strip())
    if found is None:
        raise unparsable("Range", "expected first-last")
    first = int(found[1])
    if found[2] is None:
        return first, None
    if int(found[2]) < first:
        raise not_satisfiable(
            "The lower boundary must be lower than or equal to the upper boundary in the Range header."
        )
    return first, int(found[2]) - first + 1


def not_satisfiable(details: str) -> QueryError:
    """Return the error for a range that cannot be."""
    return QueryError(416, "PGRST103", "Requested range not satisfiable", details=details)


def _read_term(cursor: Cursor) -> OrderTerm:
    field, relation = read_field(cursor), None
    if cursor.take("("):
        relation = field.name
        field = read_field(cursor)
        cursor.expect(")")
    direction = nulls = ""
    while cursor.take("."):
        word = cursor.name()
        if word in _DIRECTIONS and not direction and not nulls:
            direction = word
        elif word in _NULLS and not nulls:
            nulls = _NULLS[word]
        else:
            raise cursor.refused("asc, desc, nullsfirst or nullslast before this")
    return OrderTerm(field, relation, direction, nulls)
