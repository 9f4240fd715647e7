"""Tables for the clients to watch: made, published, granted, written to, dropped."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString, Self

import psycopg
from psycopg import sql

_numbers = itertools.count(1)


class Table:
    """A table in its schema, with a key called id. Every statement is a transaction of its own."""

    def __init__(self, connection: psycopg.Connection[Any], schema: str, name: str) -> None:
        self.schema = schema
        self.name = name
        self._connection = connection
        self._where = sql.Identifier(schema, name)

    def binding(self, event: str = "*", **more: Any) -> dict[str, Any]:
        """Write what a client asks for: `event`, and `filter` or `select`."""
        return {"event": event, "schema": self.schema, "table": self.name, **more}

    def insert(self, **values: Any) -> None:
        names = sql.SQL(", ").join(map(sql.Identifier, values))
        marks = sql.SQL(", ").join(sql.Placeholder() * len(values))
        self._run("insert into {table} ({names}) values ({marks})", names, marks, values=values)

    def update(self, key: int, **values: Any) -> None:
        changes = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder()) for name in values
        )
        self._run("update {table} set {names} where id = {marks}", changes, sql.Literal(key), values=values)

    def delete(self, key: int) -> None:
        self._run("delete from {table} where id = {marks}", sql.SQL(""), sql.Literal(key), values={})

    def _run(
        self, text: LiteralString, names: sql.Composable, marks: sql.Composable, *, values: dict[str, Any]
    ) -> None:
        statement = sql.SQL(text).format(table=self._where, names=names, marks=marks)
        self._connection.execute(statement, list(values.values()))


class Database:
    """A connection of the role that owns the tables."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def connect(cls, dsn: str) -> Iterator[Self]:
        with psycopg.connect(dsn, autocommit=True) as connection:
            yield cls(connection)

    @contextmanager
    def table(
        self,
        columns: str,
        *,
        full: bool = False,
        schema: str = "public",
        roles: str = "anon, authenticated, service_role",
    ) -> Iterator[Table]:
        """Make a table of a key and these columns, published and readable for these roles; dropped afterwards."""
        name = f"parity_{next(_numbers)}"
        statements = [
            f"create schema if not exists {schema}",
            f"grant usage on schema {schema} to anon, authenticated, service_role",
            f"create table {schema}.{name} (id int primary key, {columns})",
            f"grant select on {schema}.{name} to {roles}",
            *([f"alter table {schema}.{name} replica identity full"] if full else []),
            f"alter publication supabase_realtime add table {schema}.{name}",
        ]
        for statement in statements:
            self.execute(statement)
        try:
            yield Table(self._connection, schema, name)
        finally:
            self.execute(f"drop table {schema}.{name}")

    def execute(self, statement: str, *values: Any) -> None:
        self._connection.execute(statement.encode(), values or None)

    def holds(self, question: str) -> bool:
        """Tell whether a query finds a row."""
        return self._connection.execute(question.encode()).fetchone() is not None
