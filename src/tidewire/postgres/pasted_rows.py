"""Turns a row that somebody has pasted as JSON into the texts that the log would have for it. Stores nothing."""

from collections.abc import Sequence

import msgspec
import psycopg
from msgspec import Raw
from psycopg import sql

from tidewire.model.change import Row
from tidewire.model.errors import ConfigurationError
from tidewire.model.relation import Relation
from tidewire.postgres.pool import Pool

MOST_NAMED = 5
_DOING = "reading a row"
_HINT = "paste a record as a frame shows it; columns that are left out count as null"

_QUERY = sql.SQL("select {columns} from pg_catalog.jsonb_populate_record(null::{table}, {record}::jsonb) as pasted")


def columns_of(record: bytes, relation: Relation) -> Sequence[str]:
    """Return the names of the columns that a record leaves out. Raises ConfigurationError for what is no row of it."""
    try:
        given = msgspec.json.decode(record.decode(), type=dict[str, Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ConfigurationError(f"{_DOING}: expected a JSON object, got something else", hint=_HINT) from None
    names = [column.name for column in relation.columns]
    strange = sorted(given.keys() - set(names))
    if strange:
        shown = ", ".join(name[:63] for name in strange[:MOST_NAMED])
        raise ConfigurationError(
            f"{_DOING}: expected columns of {relation.qualified_name} that are published, got {shown}", hint=_HINT
        )
    return [name for name in names if name not in given]


async def read_pasted(pool: Pool, relation: Relation, record: bytes) -> Row:
    """Return the row, as Postgres reads and writes its values. Raises our errors; none of them shows a value."""
    columns = sql.SQL(", ").join(sql.Identifier("pasted", column.name) for column in relation.columns)
    table = sql.Identifier(relation.schema, relation.name)
    query = _QUERY.format(columns=columns, table=table, record=sql.Placeholder("record"))
    async with pool.connection(_DOING) as connection, connection.transaction():
        await connection.execute("set local bytea_output = 'hex'")  # as the connection that follows the log has it
        try:
            cursor = await connection.execute(query, {"record": record.decode()})
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise ConfigurationError(
                f"{_DOING}: expected values that fit the columns of {relation.qualified_name}, "
                f"got {type(error).__name__}",
                hint=_HINT,
            ) from None
        result = cursor.pgresult
        assert result is not None  # noqa: S101 - a query that has succeeded has one
        values = [result.get_value(0, place) for place in range(len(relation.columns))]
        return tuple(None if value is None else value.decode() for value in values)
