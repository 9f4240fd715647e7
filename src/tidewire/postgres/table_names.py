"""Turns what people type into the tables they mean, and says which come near when there is none. Changes nothing."""

import re
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, NoReturn

import psycopg
from msgspec import Struct
from psycopg import errors as pg
from psycopg import sql
from psycopg.rows import class_row

from tidewire.model.errors import ConfigurationError, UnknownTable
from tidewire.postgres import queries
from tidewire.postgres.connection import translated

_NEEDS_NO_QUOTES = re.compile(r"[a-z_][a-z0-9_]*")
_SUGGESTIONS = 3


class TableName(Struct, frozen=True, order=True):
    """A table's schema and name as the catalog spells them; its text can be given to `parse_tables` again."""

    schema: str
    name: str

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return ".".join(
            part if _NEEDS_NO_QUOTES.fullmatch(part) else sql.Identifier(part).as_string()
            for part in (self.schema, self.name)
        )


def parse_tables(
    connection: psycopg.Connection[Any], texts: Sequence[str], *, schema: str = "public"
) -> tuple[TableName, ...]:
    """Read names as SQL does (`Todos` is todos, `"Todos"` is not); one without a schema belongs to `schema`."""
    return tuple(dict.fromkeys(_parse(connection, text, schema) for text in texts))


def find_tables(connection: psycopg.Connection[Any], *, schema: str) -> tuple[TableName, ...]:
    """List every table of a schema that can be published. Raises UnknownTable when there is none."""
    tables = _candidates(connection, schema)
    if not tables:
        raise UnknownTable(
            f"looking for the tables of schema {schema}: expected at least one, got none",
            hint="check the name after --schema; views, unlogged tables and partitions do not count",
        )
    return tables


def refuse_unknown(connection: psycopg.Connection[Any], unknown: Sequence[TableName]) -> NoReturn:
    """Raise UnknownTable for all of them, with the names that come nearest."""
    candidates = _candidates(connection, None)
    near: list[str] = []
    for table in unknown:
        names = {other.name for other in candidates}
        close = {name for name in names if name.lower() == table.name.lower()}
        close.update(get_close_matches(table.name, names, n=_SUGGESTIONS))
        near += [str(other) for other in candidates if other.name in close][:_SUGGESTIONS]
    suggestions = list(dict.fromkeys(near))
    raise UnknownTable(
        f"looking for tables: expected them in this database, got no {', '.join(map(str, unknown))}",
        hint=f"did you mean {' or '.join(suggestions)}?" if suggestions else "check the names and --schema",
    )


def _parse(connection: psycopg.Connection[Any], text: str, schema: str) -> TableName:
    row = None
    with translated("reading table names"), suppress(pg.DataError):  # a name that cannot be one
        row = connection.execute(queries.load("publish_parse"), {"name": text}).fetchone()
    match row:
        case ([table],):
            return TableName(schema, table)
        case ([given, table],):
            return TableName(given, table)
        case _:
            raise ConfigurationError(
                f"reading table names: expected TABLE or SCHEMA.TABLE, got {text[:80]!r}",
                hint="""quote a name with capitals or signs, once for SQL and once for the shell: '"My Table"'""",
            )


def _candidates(connection: psycopg.Connection[Any], schema: str | None) -> tuple[TableName, ...]:
    with translated("listing tables"), connection.cursor(row_factory=class_row(TableName)) as cursor:
        return tuple(cursor.execute(queries.load("publish_candidates"), {"schema": schema}))
