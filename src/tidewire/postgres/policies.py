"""Reads the row-level security of a table out of the catalog, for a role, as values that `match.policy` defines.

Judges nothing and keeps nothing: see `postgres.answers` for that.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tidewire.filters.collation import NONDETERMINISTIC, UNKNOWN, orders_by_code_point
from tidewire.match.policy import PUBLIC, Command, Function, Names, Operator, Policy, Standing, TablePolicies
from tidewire.model.relation import Relation
from tidewire.postgres import queries
from tidewire.postgres.pool import Connection, Pool

KNOWN_VERSIONS: Final = range(14, 19)
"""Major versions whose trees are understood; a newer one may have given a field another meaning."""

_DOING: Final = "looking up policies"
_COMMANDS: Final[Mapping[str, Command]] = {"*": "ALL", "r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE"}


async def read_policies(pool: Pool, role: str, relation: Relation) -> tuple[TablePolicies, Standing] | None:
    """Return the policies of a table and what the role is to it; None when either is gone.

    All of it is of one moment. Raises PostgresError.
    """
    async with pool.connection(_DOING) as connection, connection.transaction():
        await connection.execute(queries.load("policies_begin"))
        return await policies_of(connection, role, relation.oid)


async def policies_of(
    connection: Connection, role: str, table_oid: int, *, rows_of: int | None = None
) -> tuple[TablePolicies, Standing] | None:
    """Do the same within a transaction that began with `policies_begin`. Raises psycopg's errors.

    Expressions are written for rows of the partition `rows_of`, whose columns must have the same numbers.
    """
    asked: dict[str, Any] = {"relation": table_oid, "rows": rows_of or table_oid, "role": role}
    rows = await _fetch(connection, "policies_table", asked)
    if not rows:
        return None
    asked["trees"] = [row[10] for row in rows if row[10] is not None]
    functions = await _fetch(connection, "policies_functions", asked)
    asked["trees"] += [row[7] for row in functions if row[7] is not None]
    names = _names(await _fetch(connection, "policies_names", asked), functions)
    version = connection.info.server_version // 10_000
    enabled, forced, bypasses, owns, member_of, little_endian = rows[0][:6]
    policies = tuple(
        Policy(name, permissive, _COMMANDS[command], tuple(roles), tree, expression)
        for name, permissive, command, roles, tree, expression in (row[6:] for row in rows)
        if name is not None
    )
    table = TablePolicies(enabled, forced, policies, names, readable=little_endian and version in KNOWN_VERSIONS)
    return table, Standing(role, bypasses, owns, frozenset({PUBLIC, *member_of}))


async def _fetch(connection: Connection, query: str, asked: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return await (await connection.execute(queries.load(query), asked)).fetchall()


def _names(rows: Sequence[tuple[Any, ...]], functions: Sequence[tuple[Any, ...]]) -> Names:
    found: dict[str, dict[int, tuple[str, ...]]] = {"column": {}, "operator": {}, "label": {}, "collation": {}}
    for kind, number, *texts in rows:
        found[kind][number] = tuple(texts)
    return Names(
        columns={number: texts[0] for number, texts in found["column"].items()},
        operators={number: Operator(it[0], int(it[1]), int(it[2])) for number, it in found["operator"].items()},
        functions={row[0]: _function(row) for row in functions},
        labels={number: texts[0] for number, texts in found["label"].items()},
        collations={number: _locale(*texts[:3]) for number, texts in found["collation"].items()},
    )


def _function(row: tuple[Any, ...]) -> Function:
    _, name, arguments, *rest = row
    return Function(name, tuple(arguments), *rest)


def _locale(deterministic: str, provider: str, locale: str) -> str:
    if deterministic != "true":
        return NONDETERMINISTIC
    return UNKNOWN if provider == "i" and orders_by_code_point(locale) else locale
