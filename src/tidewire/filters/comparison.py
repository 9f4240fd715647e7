"""Compiles one condition to a predicate over rows, with the place of the column bound and the constant read once.

Raises Unsure where only Postgres knows. Every predicate keeps SQL's rules for NULL; an ABSENT value fails closed.
"""

import operator
from collections.abc import Callable
from typing import Any

from tidewire.filters.answer import UNDECIDED, Answer, Predicate
from tidewire.filters.checks import base_type
from tidewire.filters.collation import folds_ascii_plainly
from tidewire.filters.grammar import Condition
from tidewire.filters.patterns import Matcher, expression_matcher, ignoring_case, like_matcher
from tidewire.filters.scalars import Scalar
from tidewire.filters.texts import rules
from tidewire.filters.unsure import Unsure
from tidewire.model.change import ABSENT, Row
from tidewire.model.relation import Column

_ORDERINGS: dict[str, Callable[[Any, Any], Any]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
_OPPOSITES = {"eq": "neq", "neq": "eq", "lt": "gte", "gte": "lt", "lte": "gt", "gt": "lte"}
"""Exact in SQL as well: both are NULL for NULL, and every order here is total, with NaN at its end."""


def compile_condition(condition: Condition, place: int, column: Column, locale: str) -> Predicate:
    """Return the predicate of a condition that `check_conditions` let pass. Raises Unsure or ConfigurationError."""
    name, value, wanted = condition.operator, condition.value, not condition.negated
    if isinstance(value, tuple):
        return _membership(value, place, rules(column.type, locale), wanted=wanted)
    if name == "is":
        return _keyword(value, place, column, wanted=wanted)
    if name in {"like", "ilike", "match", "imatch"}:
        return _pattern(_matcher(name, value, column, locale), place, wanted=wanted)
    scalar = rules(column.type, locale)
    if name == "isdistinct":
        return _distinction(scalar, scalar.constant(value), place, wanted=wanted)
    return _comparison(scalar, scalar.constant(value), name if wanted else _OPPOSITES[name], place)


def _comparison(scalar: Scalar, constant: str, name: str, place: int) -> Predicate:
    if name in {"eq", "neq"} and (scalar.same_text or scalar.key is None):
        return _equal_text(constant, place) if name == "eq" else _different_text(constant, place)
    if name in {"eq", "neq"}:
        return _by_key(operator.eq if name == "eq" else operator.ne, scalar, constant, place)
    if not scalar.ordered:
        raise Unsure
    return _by_key(_ORDERINGS[name], scalar, constant, place)


def _equal_text(constant: str, place: int) -> Predicate:
    def predicate(row: Row) -> Answer:
        value = row[place]
        return value == constant if value or value == "" else None  # both NULL and ABSENT are falsy

    return predicate


def _different_text(constant: str, place: int) -> Predicate:
    def predicate(row: Row) -> Answer:
        value = row[place]
        return value != constant if value or value == "" else None

    return predicate


def _by_key(compare: Callable[[Any, Any], Any], scalar: Scalar, constant: str, place: int) -> Predicate:
    key = scalar.key or str
    bound = key(constant)

    def predicate(row: Row) -> Answer:
        value = row[place]
        if value is None or value is ABSENT:
            return None
        try:
            return bool(compare(key(value), bound))
        except Unsure:
            return UNDECIDED

    return predicate


def _membership(values: tuple[str | None, ...], place: int, scalar: Scalar, *, wanted: bool) -> Predicate:
    key = str if scalar.same_text or scalar.key is None else scalar.key
    members = frozenset(key(scalar.constant(value)) for value in values if value is not None)
    # `x = any ('{1,NULL}')` is NULL, not false, unless x is 1; and an empty list has no room for doubt.
    missing: Answer = None if None in values else not wanted
    unknown: Answer = None if values else not wanted

    def predicate(row: Row) -> Answer:
        value = row[place]
        if value is None:
            return unknown
        if value is ABSENT:
            return None
        try:
            return wanted if key(value) in members else missing
        except Unsure:
            return UNDECIDED

    return predicate


def _distinction(scalar: Scalar, constant: str, place: int, *, wanted: bool) -> Predicate:
    key = str if scalar.same_text or scalar.key is None else scalar.key
    bound = key(constant)

    def predicate(row: Row) -> Answer:
        value = row[place]
        if value is None:
            return wanted
        if value is ABSENT:
            return None
        try:
            return (key(value) != bound) is wanted
        except Unsure:
            return UNDECIDED

    return predicate


def _keyword(keyword: str, place: int, column: Column, *, wanted: bool) -> Predicate:
    if base_type(column.type).kind == "composite":
        raise Unsure  # a row whose fields are all NULL IS NULL, too
    looked_for = {"true": "t", "false": "f"}.get(keyword)  # null, and unknown, which is NULL for a boolean

    def predicate(row: Row) -> Answer:
        value = row[place]
        return None if value is ABSENT else (value == looked_for) is wanted

    return predicate


def _matcher(name: str, pattern: str, column: Column, locale: str) -> Matcher:
    if not rules(column.type, locale).patterns:
        raise Unsure
    build = like_matcher if name in {"like", "ilike"} else expression_matcher
    if name in {"like", "match"}:
        return build(pattern)
    if not folds_ascii_plainly(locale) and "i" in pattern.lower():
        raise Unsure
    return ignoring_case(build, pattern)


def _pattern(match: Matcher, place: int, *, wanted: bool) -> Predicate:
    def predicate(row: Row) -> Answer:
        value = row[place]
        if value is None or value is ABSENT:
            return None
        try:
            return match(value) is wanted
        except Unsure:
            return UNDECIDED

    return predicate
