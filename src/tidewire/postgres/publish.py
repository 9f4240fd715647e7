"""Puts tables into the publication that Tidewire follows and takes them out: all of them, or none. Reads no rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import psycopg
from msgspec import Struct
from psycopg import errors as pg
from psycopg import sql
from psycopg.rows import class_row, dict_row

from tidewire.model.errors import ConfigurationError, MigrationError, MissingPrivilege, PostgresError, UnknownTable
from tidewire.postgres import queries
from tidewire.postgres.connection import translated
from tidewire.postgres.table_names import TableName, refuse_unknown

Connection = psycopg.Connection[Any]
Action = Literal["added", "kept", "removed", "absent"]
Identity = Literal["full", "key", "none"]

PUBLICATION = "supabase_realtime"


class Outcome(Struct, frozen=True):
    """What became of one table. Show `warning` to a person: statements of the application are about to fail."""

    table: str
    action: Action
    identity: Identity
    warning: str | None = None


class _Facts(Struct, frozen=True):
    schema: str
    name: str
    is_user_table: bool
    is_logged: bool
    ours: bool
    owner: str
    named: bool
    covered: bool
    identified: bool
    not_full: list[list[str]]

    @property
    def table(self) -> TableName:
        return TableName(self.schema, self.name)


def publish(connection: Connection, tables: Sequence[TableName], *, full: bool = False) -> tuple[Outcome, ...]:
    """Publish the tables; `full` also sets REPLICA IDENTITY FULL on them and on the partitions they have now."""
    with _one_change(connection, "publishing tables"):
        _check_publication(connection)
        facts = _read_facts(connection, tables)
        _refuse_unpublishable(facts)
        added = {fact.table for fact in facts if not (fact.named or fact.covered)}
        _refuse_foreign([fact for fact in facts if fact.table in added or (full and fact.not_full)])
        _alter_publication(connection, sql.SQL("add"), added)
        if full:
            for member in sorted({TableName(*pair) for fact in facts for pair in fact.not_full}):
                connection.execute(sql.SQL("alter table {} replica identity full").format(member.identifier))
        after = _read_facts(connection, tables)
    return tuple(_outcome(fact, "added" if fact.table in added else "kept") for fact in after)


def withdraw(connection: Connection, tables: Sequence[TableName]) -> tuple[Outcome, ...]:
    """Stop publishing the tables. Their replica identity stays: another subscriber may rely on it."""
    with _one_change(connection, "withdrawing tables"):
        _check_publication(connection)
        facts = _read_facts(connection, tables)
        if wholesale := [str(fact.table) for fact in facts if fact.covered and not fact.named]:
            raise ConfigurationError(
                f"withdrawing tables: expected tables that {PUBLICATION} names one by one, "
                f"got {', '.join(wholesale)}, published with the whole schema or database",
                hint=f"name the tables to keep with ALTER PUBLICATION {PUBLICATION} SET TABLE ...",
            )
        removed = {fact.table for fact in facts if fact.named}
        _alter_publication(connection, sql.SQL("drop"), removed)
    return tuple(_outcome(fact, "removed" if fact.table in removed else "absent") for fact in facts)


@contextmanager
def _one_change(connection: Connection, doing: str) -> Iterator[None]:
    hint = "another transaction holds a lock that is needed; nothing was changed, try again when it has ended"
    try:
        with translated(doing), connection.transaction():
            connection.execute(queries.load("publish_lock"))
            yield
    except PostgresError as error:
        if isinstance(error.__context__, pg.LockNotAvailable):
            raise PostgresError(error.message, hint=hint) from None
        raise


def _check_publication(connection: Connection) -> None:
    cursor = connection.cursor(row_factory=dict_row)
    found = cursor.execute(queries.load("publish_publication"), {"publication": PUBLICATION}).fetchone()
    if found is None:
        raise MigrationError(
            f"looking for publication {PUBLICATION}: expected it in this database, got none",
            hint="run `tidewire migrate` first",
        )
    if not found["ours"]:
        raise MissingPrivilege(
            f"changing publication {PUBLICATION}: expected a role that may act as its owner {found['owner']}, "
            f"got {connection.info.user}",
            hint=f"connect as {found['owner']} or as a superuser",
        )


def _read_facts(connection: Connection, tables: Sequence[TableName]) -> tuple[_Facts, ...]:
    """Return the facts in the order of `tables`, or raise UnknownTable."""
    cursor = connection.cursor(row_factory=class_row(_Facts))
    cursor.execute(
        queries.load("publish_tables"),
        {
            "publication": PUBLICATION,
            "schemas": [table.schema for table in tables],
            "names": [table.name for table in tables],
        },
    )
    facts = {fact.table: fact for fact in cursor}
    if unknown := [table for table in tables if table not in facts]:
        refuse_unknown(connection, unknown)
    return tuple(facts[table] for table in tables)


def _refuse_unpublishable(facts: Sequence[_Facts]) -> None:
    if wrong := [str(fact.table) for fact in facts if not (fact.is_user_table and fact.is_logged)]:
        raise UnknownTable(
            f"publishing tables: expected ordinary or partitioned tables, got {', '.join(wrong)}",
            hint="views, foreign, unlogged, temporary and system tables write no rows to the log; "
            "publish the tables behind them",
        )


def _refuse_foreign(facts: Sequence[_Facts]) -> None:
    if foreign := [fact for fact in facts if not fact.ours]:
        listed = ", ".join(f"{fact.table} (owner {fact.owner})" for fact in foreign)
        raise MissingPrivilege(
            f"publishing tables: expected tables whose owner this role may act as, got {listed}",
            hint="connect as the owner of the tables or as a superuser",
        )


def _alter_publication(connection: Connection, verb: sql.SQL, tables: set[TableName]) -> None:
    for table in sorted(tables):
        statement = sql.SQL("alter publication {} {} table {}")
        connection.execute(statement.format(sql.Identifier(PUBLICATION), verb, table.identifier))


def _outcome(fact: _Facts, action: Action) -> Outcome:
    identity: Identity = "none"
    if fact.identified:
        identity = "key" if fact.not_full else "full"
    warning = None
    if identity == "none" and action in {"added", "kept"}:
        warning = (
            f"UPDATE and DELETE on {fact.table} fail while it is published: it has neither a primary key nor "
            f"REPLICA IDENTITY FULL. Add a primary key, or run `tidewire publish --full '{fact.table}'`"
        )
    return Outcome(str(fact.table), action, identity, warning)
