"""Finds the conditions that an index can answer by looking up a value. Builds no index and evaluates nothing."""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from tidewire.filters.checks import find_column
from tidewire.filters.collation import UNKNOWN
from tidewire.filters.grammar import Condition
from tidewire.filters.predicate import NO_LOCALES
from tidewire.filters.scalars import as_written
from tidewire.filters.texts import rules
from tidewire.filters.unsure import Unsure
from tidewire.model.relation import PgType, Relation

__all__ = ["EqualityKeys", "as_written", "canonical", "equality_keys"]


class EqualityKeys(Struct, frozen=True):
    """The condition at `place` among the conditions is true exactly for rows whose `column` has one of `values`.

    Both are compared in canonical form: apply `canonical(type)` to the text of the row.
    """

    place: int
    column: int
    values: tuple[str, ...]


def canonical(type_: PgType, *, locale: str = UNKNOWN) -> Callable[[str], str] | None:
    """Return what maps a row's text to the form in which equal values are equal texts; None if there is no such form.

    It is `as_written` where rows have that form already, so an index may skip the call.
    """
    try:
        return rules(type_, locale).index
    except Unsure:
        return None


def equality_keys(
    conditions: Sequence[Condition], relation: Relation, *, locales: Mapping[str, str] = NO_LOCALES
) -> tuple[EqualityKeys, ...]:
    """Return the look-ups that the conditions allow: one for each plain `eq` and `in` of a type with a canonical form.

    Pass conditions that `compile_filter` has taken. Index under one of them and evaluate the others.
    """
    found = []
    for place, condition in enumerate(conditions):
        if condition.negated or condition.operator not in {"eq", "in"}:
            continue
        at, column = find_column(condition, relation)
        locale = locales.get(column.name, UNKNOWN)
        values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
        try:
            scalar = rules(column.type, locale)
            if scalar.index is not None:
                texts = {scalar.index(scalar.constant(value)) for value in values if value is not None}
                found.append(EqualityKeys(place, at, tuple(sorted(texts))))
        except Unsure:
            continue
    return tuple(found)
