"""The text of filters, `age=gte.18` or `or=(a.eq.1,not.and(b.is.null,c.in.(1,2)))`, becomes conditions."""

import re
from typing import Literal

from msgspec import Struct

from tidewire.query.cursor import Cursor
from tidewire.query.errors import exceeded, unparsable
from tidewire.query.fields import Field, read_field
from tidewire.query.limits import Limits

Quantifier = Literal["any", "all"]

QUANTIFIED = frozenset({"eq", "gte", "gt", "lte", "lt", "like", "ilike", "match", "imatch"})
FULL_TEXT = frozenset({"fts", "plfts", "phfts", "wfts"})
OPERATORS = (
    QUANTIFIED | FULL_TEXT | {"neq", "in", "is", "isdistinct", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj"}
)
IS_VALUES = frozenset({"null", "not_null", "true", "false", "unknown"})

_operator = re.compile(r"[a-z]+")
_in_parentheses = re.compile(r"\(([^()]*)\)")
_array = re.compile(r'\{(?:[^{}"\\]|\\.|"(?:[^"\\]|\\.)*+")*+\}', re.DOTALL)
_until_comma = re.compile(r"[^,)]*+")


class Condition(Struct, frozen=True):
    """One comparison; for `in`, `value` is the list."""

    field: Field
    operator: str
    value: str | tuple[str, ...]
    negated: bool = False
    quantifier: Quantifier | None = None
    config: str | None = None


class Logic(Struct, frozen=True):
    """Conditions of which all or any must hold."""

    kind: Literal["and", "or"]
    terms: "tuple[Condition | Logic, ...]"
    negated: bool = False


Term = Condition | Logic


def parse_condition(field: Field, text: str, limits: Limits) -> Condition:
    """Read what stands behind the `=` of a filter, to its end."""
    cursor = Cursor(text, "filter", limits)
    condition = _read_comparison(field, cursor, within=False)
    cursor.finish()
    return condition


def parse_logic(kind: Literal["and", "or"], text: str, limits: Limits, *, negated: bool) -> Logic:
    """Read the parenthesised list behind `and=` or `or=`."""
    cursor = Cursor(text, "logic tree", limits)
    logic = Logic(kind, _read_terms(cursor), negated)
    cursor.finish()
    return logic


def looks_like_condition(text: str) -> bool:
    """Tell whether the text begins with an operator; else it is a function's argument."""
    found = _operator.match(text)
    return found is not None and found[0] in OPERATORS | {"not"} and text[found.end() : found.end() + 1] in {".", "("}


def count_conditions(term: Term) -> int:
    """Return how many comparisons a term holds."""
    return 1 if isinstance(term, Condition) else sum(map(count_conditions, term.terms))


def _read_terms(cursor: Cursor) -> tuple[Term, ...]:
    cursor.enter()
    cursor.expect("(")
    terms = [_read_term(cursor)]
    while cursor.take(","):
        terms.append(_read_term(cursor))
        if len(terms) > cursor.limits.max_conditions:
            raise exceeded("conditions", cursor.limits.max_conditions)
    cursor.expect(")")
    cursor.leave()
    return tuple(terms)


def _read_term(cursor: Cursor) -> Term:
    for prefix, negated in (("not.", True), ("", False)):
        for kind in ("and", "or"):
            if cursor.peek(f"{prefix}{kind}("):
                cursor.expect(f"{prefix}{kind}")
                return Logic(kind, _read_terms(cursor), negated)
    field = read_field(cursor)
    cursor.expect(".")
    return _read_comparison(field, cursor, within=True)


def _read_comparison(field: Field, cursor: Cursor, *, within: bool) -> Condition:
    """Read an operator and its value; `within` a list, the value ends where the next term begins."""
    negated = cursor.take("not.")
    found = cursor.match(_operator)
    operator = found[0] if found else ""
    if operator not in OPERATORS:
        raise cursor.refused("an operator")
    quantifier, config = _read_modifier(operator, cursor)
    cursor.expect(".")
    value = _read_list(cursor) if operator == "in" else _read_value(cursor) if within else cursor.rest()
    if operator == "is":
        value = str(value).lower()
        if value not in IS_VALUES:
            raise unparsable("filter", f"`is` expects one of {', '.join(sorted(IS_VALUES))}")
    return Condition(field, operator, value, negated, quantifier, config)


def _read_modifier(operator: str, cursor: Cursor) -> tuple[Quantifier | None, str | None]:
    if not cursor.peek("("):
        return None, None
    found = cursor.match(_in_parentheses)
    inside = found[1] if found else ""
    if operator in FULL_TEXT and inside:
        return None, inside
    if operator in QUANTIFIED and inside in {"any", "all"}:
        return ("any" if inside == "any" else "all"), None
    raise cursor.refused("any or all, or for full-text search a configuration")


def _read_value(cursor: Cursor) -> str:
    quoted = cursor.quoted()
    if quoted is not None:
        return quoted
    found = cursor.match(_array) or cursor.match(_until_comma)
    return found[0] if found else ""


def _read_list(cursor: Cursor) -> tuple[str, ...]:
    cursor.expect("(")
    values: list[str] = []
    if cursor.take(")"):
        return ()
    while True:
        quoted = cursor.quoted()
        bare = cursor.match(_until_comma) if quoted is None else None
        values.append(quoted if quoted is not None else bare[0] if bare else "")
        if len(values) > cursor.limits.max_list:
            raise exceeded("values in a list", cursor.limits.max_list)
        if not cursor.take(","):
            break
    cursor.expect(")")
    return tuple(values)
