"""Lets Postgres read the constants of a filter once, when it is subscribed to, instead of failing at every change."""

import re
from collections.abc import Sequence

import psycopg
from psycopg import errors as pg
from psycopg import sql

from tidewire.filters.checks import expression_error
from tidewire.filters.grammar import Condition
from tidewire.filters.sql import filter_query
from tidewire.model.errors import MissingPrivilege
from tidewire.model.relation import Relation
from tidewire.postgres.connection import translate
from tidewire.postgres.pool import Connection, Pool

_DOING = "probing a filter"
_INVALID_EXPRESSION = "2201B"
_word_start = re.compile(r"(?<=[a-z])(?=[A-Z])")


async def complaint(pool: Pool, role: str, relation: Relation, conditions: Sequence[Condition]) -> str | None:
    """Return what Postgres objects to, as `ERROR code (name) text`, or None. The role must exist.

    Raises our errors when Postgres cannot be asked.
    """
    async with pool.connection(_DOING) as connection:
        error = await _refusal(connection, role, relation, conditions)
        if error is None:
            return None
        if error.sqlstate == _INVALID_EXPRESSION:
            for condition in conditions:
                found = await _refusal(connection, role, relation, [condition])
                if found is not None and found.sqlstate == _INVALID_EXPRESSION:
                    refused = expression_error(condition.operator, found.diag.message_primary or "")
                    return f"ERROR P0001 (raise_exception) {refused.message}"
        return f"ERROR {error.sqlstate} ({_condition_name(error)}) {error.diag.message_primary}"


async def enter_role(connection: Connection, role: str, doing: str, *, limit_ms: int | None = None) -> None:
    """Begin a transaction that changes nothing and has the rights of the role; the caller rolls it back."""
    begin = sql.SQL("begin read only; set local role {}").format(sql.Identifier(role))
    if limit_ms is not None:
        begin += sql.SQL("; set local statement_timeout = {}").format(sql.Literal(limit_ms))
    try:
        await connection.execute(begin)
    except pg.InsufficientPrivilege:
        raise MissingPrivilege(
            f"{doing}: expected to be allowed to act as role {role}, got a refusal",
            hint="grant that role to the user in DATABASE_URL; `tidewire migrate` does so for the usual ones",
        ) from None


async def _refusal(
    connection: Connection, role: str, relation: Relation, conditions: Sequence[Condition]
) -> psycopg.Error | None:
    """Ask for each condition by itself: `and` would stop at the first that is not true."""
    parts = [filter_query([condition], relation) for condition in conditions]
    text = "select " + ", ".join(f"({part.text})" for part in parts)
    parameters = [parameter for part in parts for parameter in part.probe()]
    await enter_role(connection, role, _DOING)
    try:
        await connection.execute(text.encode(), parameters)
    except psycopg.Error as error:
        if error.sqlstate is None or translate(error, _DOING).retryable:
            raise  # it is not the filter that it objects to
        return error
    finally:
        if not connection.closed:
            await connection.rollback()
    return None


def _condition_name(error: psycopg.Error) -> str:
    """Return the name that Postgres's manual gives the error's code, which is also that of psycopg's class."""
    return _word_start.sub("_", type(error).__name__).lower()
