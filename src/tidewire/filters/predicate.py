"""Compiles a filter into a predicate over rows of the log that gives SQL's answer. Refuses what it cannot prove."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from tidewire.filters.answer import UNDECIDED, Answer, Predicate
from tidewire.filters.checks import check_conditions, find_column
from tidewire.filters.collation import UNKNOWN
from tidewire.filters.comparison import compile_condition
from tidewire.filters.grammar import Condition
from tidewire.filters.unsure import Unprovable, Unsure
from tidewire.model.change import ABSENT, Row
from tidewire.model.relation import Relation

NO_LOCALES: Final[Mapping[str, str]] = MappingProxyType({})


def compile_filter(
    conditions: Sequence[Condition],
    relation: Relation,
    *,
    locales: Mapping[str, str] = NO_LOCALES,
    partial: bool = False,
) -> Predicate:
    """Return the predicate that is true when all conditions are. Compile again when the relation changes.

    `locales` are those of the columns' collations, see `tidewire.filters.collation`. Raises ConfigurationError for what
    Postgres would refuse, and Unprovable for a condition that only Postgres can answer. With `partial`, such a
    condition answers UNDECIDED instead, so that Postgres is asked only about rows for which the others hold.
    """
    check_conditions(conditions, relation)
    proven: list[Predicate] = []
    left_open: list[Predicate] = []
    for condition in conditions:
        place, column = find_column(condition, relation)
        try:
            proven.append(compile_condition(condition, place, column, locales.get(column.name, UNKNOWN)))
        except Unsure:
            if not partial:
                raise Unprovable(condition) from None
            left_open.append(_undecided(place))
    return _all([*proven, *left_open])


def _undecided(place: int) -> Predicate:
    def predicate(row: Row) -> Answer:
        return None if row[place] is ABSENT else UNDECIDED

    return predicate


def _all(predicates: list[Predicate]) -> Predicate:
    """Combine by SQL's AND: false wins over everything, then what Postgres may still find false, then NULL."""
    if len(predicates) == 1:
        return predicates[0]

    def predicate(row: Row) -> Answer:
        answer: Answer = True
        for part in predicates:
            found = part(row)
            if found is False:
                return False
            if found is UNDECIDED or (found is None and answer is True):
                answer = found
        return answer

    return predicate
