"""Writes rows of the log as a query for those which a policy admits. Asks nobody.

The rows stand in for the table, under its own name, so that the policy reads them and not what the table holds now.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct
from psycopg import sql

from tidewire.match.rule import Restriction
from tidewire.model.change import ABSENT, Row
from tidewire.model.relation import Relation

ROWS_AT_ONCE: Final = 256
CHARS_AT_ONCE: Final = 2**20

_PLACE: Final = sql.Identifier("place in the log")
"""A column's name that no table is likely to have. Under a policy that reads such a column there will be an error."""

_STATEMENT: Final = sql.SQL("select pg_catalog.string_agg({place}, ',') from {source} where ({expression})")
# Without OFFSET, a single row would be put into the expression, and parts of it computed that its guards exclude.
_ALL: Final = sql.SQL("(values {rows} offset 0)")
_ONE: Final = sql.SQL('(select * from (values {rows}) as "each" ({place}) where "each".{place} = $1 offset 0)')
_AS_COLUMNS: Final = sql.SQL("{rows} as {table} ({place}, {columns})")
_AS_PLACES: Final = sql.SQL("{rows} as {table} ({place})")
_AS_ROWS: Final = sql.SQL(
    '{rows} as "the log" ({place}, "row of the log")'
    ' cross join lateral pg_catalog.unnest(array["the log"."row of the log"]) as {table} ({columns})'
)

_CONDITION: Final = sql.SQL("pg_temp.tidewire_rule({arguments})")
_RULE: Final = sql.SQL(
    "create function pg_temp.tidewire_rule({types}) returns boolean language sql begin atomic"
    " select ({expression}) from {source}; end;"
    " grant execute on function pg_temp.tidewire_rule to public"
)
_PARAMETERS: Final = sql.SQL("(select {parameters} offset 0) as {table} ({columns})")
_PARAMETER_ROW: Final = sql.SQL("pg_catalog.unnest(array[$1]) as {table} ({columns})")

Values = tuple[str | None, ...]
"""What a policy reads of a row, aligned with `Offer.columns`."""


class Table(Struct, frozen=True):
    """How the catalog describes a table now: `columns` are its names with their types, in order."""

    schema: str
    name: str
    columns: Mapping[str, str]


class Offer(Struct, frozen=True):
    """Rows to judge. Each of `rows` stands for the places in the question that `places` has for it.

    With `apart` the statement calls a function for the expression, which `write_rule` makes.
    """

    table: Table
    expression: str
    columns: tuple[str, ...]
    rows: Sequence[Values]
    places: Sequence[Sequence[int]]
    apart: bool = False


def make_offer(table: Table, relation: Relation, restriction: Restriction, rows: Sequence[Row]) -> Offer | None:
    """Gather rows that agree in what is read, without those whose values the log does not have.

    None when the table does not have all these columns any more: the restriction is one of another time.
    """
    if not restriction.columns <= table.columns.keys():
        return None
    found: dict[Values, list[int]] = {}
    columns = tuple(name for name in table.columns if name in restriction.columns)
    logged = {column.name: at for at, column in enumerate(relation.columns)}
    if all(name in logged for name in columns):  # otherwise they were added after these rows
        read = [logged[name] for name in columns]
        for place, row in enumerate(rows):
            values = tuple(value for value in map(row.__getitem__, read) if value is not ABSENT)
            if len(values) == len(read):
                found.setdefault(values, []).append(place)
    return Offer(table, restriction.expression, columns, tuple(found), tuple(found.values()))


def parts_of(offer: Offer) -> Iterator[range]:
    """Cut into numbers of rows that one statement can be about, at least one each."""
    begin = chars = 0
    for number, row in enumerate(offer.rows):
        size = sum(len(value) for value in row if value is not None)
        if number > begin and (number - begin == ROWS_AT_ONCE or chars + size > CHARS_AT_ONCE):
            yield range(begin, number)
            begin, chars = number, 0
        chars += size
    if begin < len(offer.rows):
        yield range(begin, len(offer.rows))


def write_statement(offer: Offer, numbers: Sequence[int], *, one: bool = False) -> str:
    """Return a query whose only value has the numbers of the rows that are admitted, separated by commas.

    With `one` it has a parameter: the number, as text, of the only row that it is about.
    """
    rows = (_ONE if one else _ALL).format(rows=_listed(_lines(offer, numbers)), place=_PLACE)
    form = _AS_ROWS if _is_whole(offer) else _AS_COLUMNS if offer.columns else _AS_PLACES
    columns = _listed([sql.Identifier(column) for column in offer.columns])
    source = form.format(rows=rows, table=sql.Identifier(offer.table.name), place=_PLACE, columns=columns)
    return _STATEMENT.format(place=_PLACE, source=source, expression=_condition(offer, columns)).as_string(None)


def write_rule(offer: Offer) -> str | None:
    """Return what makes the function that statements of an offer call, if they do: it reads one row.

    Postgres parses a statement anew for whoever executes it if it reads other tables under row-level security. For a
    reader that fails where a policy names what is in a schema that the reader has no way into. What a function has in
    its body is parsed once, for whoever makes it.
    """
    if not offer.apart:
        return None
    table, types = sql.Identifier(offer.table.name), [sql.SQL(offer.table.columns[name]) for name in offer.columns]
    columns = _listed([sql.Identifier(column) for column in offer.columns])
    parameters = _listed([sql.SQL(f"${number}") for number in range(1, len(types) + 1)])
    form = _PARAMETER_ROW if _is_whole(offer) else _PARAMETERS if types else sql.SQL("(select) as {table}")
    return _RULE.format(
        types=_row_type(offer) if _is_whole(offer) else _listed(types),
        expression=sql.SQL(offer.expression),
        source=form.format(parameters=parameters, table=table, columns=columns),
    ).as_string(None)


def _condition(offer: Offer, columns: sql.Composed) -> sql.Composable:
    if offer.apart:
        return _CONDITION.format(arguments=sql.SQL('"row of the log"') if _is_whole(offer) else columns)
    return sql.SQL(offer.expression)  # as Postgres has written it


def _lines(offer: Offer, numbers: Sequence[int]) -> Iterator[sql.Composable]:
    """Yield one line of values for each row.

    Only what is read is offered: a column that is read without having been announced is an error, and not a NULL. If
    all of them are read, the policy may be about the row itself, and then it gets one of the table's own type.
    """
    types = [sql.SQL(offer.table.columns[name]) for name in offer.columns]
    for number in numbers:
        values = zip(offer.rows[number], types, strict=True)
        fields: list[sql.Composable] = [sql.SQL("{}::{}").format(sql.Literal(value), type_) for value, type_ in values]
        if _is_whole(offer):
            fields = [sql.SQL("row({})::{}").format(_listed(fields), _row_type(offer))]
        yield sql.SQL("({})").format(_listed([sql.Literal(str(number)), *fields]))


def _row_type(offer: Offer) -> sql.Identifier:
    return sql.Identifier(offer.table.schema, offer.table.name)


def _is_whole(offer: Offer) -> bool:
    return len(offer.columns) == len(offer.table.columns)


def _listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
