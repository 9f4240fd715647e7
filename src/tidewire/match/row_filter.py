"""Turns the conditions of a filter into what the matcher compiles for each shape of a table. Asks nobody."""

from collections.abc import Mapping, Sequence

from tidewire.filters.checks import check_conditions
from tidewire.filters.collation import NONDETERMINISTIC
from tidewire.filters.equality import as_written, canonical, equality_keys
from tidewire.filters.grammar import Condition
from tidewire.filters.predicate import NO_LOCALES, compile_filter
from tidewire.match.subscription import Compile, CompiledFilter
from tidewire.model.relation import Relation

TableName = tuple[str, str]


def row_filter(conditions: Sequence[Condition], locales: Mapping[TableName, Mapping[str, str]]) -> Compile:
    """Return the function to give to the matcher. `locales` are those of each table's columns, as far as known.

    Texts of other tables and columns are left to Postgres: they may have a collation in which different texts equal.
    """

    def compile_(relation: Relation) -> CompiledFilter:
        known = locales.get((relation.schema, relation.name), NO_LOCALES)
        of_column = {column.name: known.get(column.name, NONDETERMINISTIC) for column in relation.columns}
        check_conditions(conditions, relation)
        keys = min(
            equality_keys(conditions, relation, locales=of_column), key=lambda key: len(key.values), default=None
        )
        rest = [condition for place, condition in enumerate(conditions) if keys is None or place != keys.place]
        residual = compile_filter(rest, relation, locales=of_column, partial=True) if rest else None
        if keys is None:
            return CompiledFilter(residual=residual)
        column = relation.columns[keys.column]
        form = canonical(column.type, locale=of_column[column.name])
        return CompiledFilter((keys.column, keys.values), None if form is as_written else form, residual)

    return compile_
