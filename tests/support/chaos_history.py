"""Writers that go on through every failure, and what the database's own history says that each user was owed.

Each transaction writes its own history with it, so what was lost in a crash is in neither.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from random import Random
from typing import Any, Final

import psycopg
from msgspec import Struct
from psycopg import sql

USERS: Final = 20
WRITERS: Final = 4
TABLES: Final = ("open_rows", "own_rows", "near_rows")
CREATE: Final = (
    *(
        f"create table {table} (id bigint primary key, owner uuid not null, version bigint not null)"
        for table in TABLES
    ),
    *(f"alter table {table} replica identity full" for table in TABLES),
    *(f"grant select on {table} to authenticated" for table in TABLES),
    *(f"alter table {table} enable row level security" for table in TABLES[1:]),
    *(f"alter publication supabase_realtime add table {table}" for table in TABLES),
    "create table circles (who uuid, friend uuid, primary key (who, friend))",
    "grant select on circles to authenticated",
    "create policy own on own_rows using (owner = auth.uid())",
    """create policy near on near_rows
       using (exists (select from circles where who = auth.uid() and friend = near_rows.owner))""",
    "create sequence versions",
    "create table history (version bigint primary key, tab text, op text, id bigint, old_owner uuid, new_owner uuid)",
)
"""Everybody may see the rows of the first table, owners those of the second; of the third only Postgres can tell."""


def user(number: int) -> str:
    return f"00000000-0000-4000-8000-{number % USERS:012d}"


def prepare(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as admin:
        for statement in CREATE:
            admin.execute(statement.encode())
        for number in range(USERS):
            for friend in (number, number + 1):
                admin.execute("insert into circles values (%s, %s)", [user(number), user(friend)])


class Owed(Struct, frozen=True):
    """A change that somebody was owed; of a deletion nobody is told the version."""

    table: str
    operation: str
    id: int
    version: int | None


def owed(dsn: str, number: int, tables: Sequence[str]) -> list[Owed]:
    """Return what the history says that a user was to be told, in the order of versions."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "select tab, op, id, version, old_owner::text, new_owner::text from history order by version"
        ).fetchall()
    near = {user(number), user(number + 1)}
    sees = {
        "open_rows": lambda _: True,
        "own_rows": lambda owner: owner == user(number),
        "near_rows": near.__contains__,
    }
    return [
        Owed(table, operation, id_, None if operation == "DELETE" else version)
        for table, operation, id_, version, old, new in rows
        if table in tables and sees[table](old if operation == "DELETE" else new)
    ]


class Writer(threading.Thread):
    """Writes at a rate until it is told to stop, whatever happens to the database; rows with its number are its own."""

    def __init__(self, dsn: str, number: int, dice: Random, *, per_s: float) -> None:
        super().__init__(name=f"writer {number}", daemon=True)
        self.transactions = 0
        self.failures = 0
        self._dsn = dsn
        self._number = number
        self._dice = dice
        self._pause_s = 1 / per_s
        self._ids = count(number + WRITERS, WRITERS)
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            try:
                with psycopg.connect(self._dsn) as connection:
                    self._write(connection, self._read(connection))
            except psycopg.Error:
                self.failures += 1
                self._over.wait(0.1)

    def finish(self) -> None:
        """Return once the last transaction has ended."""
        self._over.set()
        self.join()

    def _read(self, connection: psycopg.Connection[Any]) -> dict[str, dict[int, str]]:
        """Return the rows as they are: whether the last commit took place is not known after a crash."""
        connection.execute("set statement_timeout = '10s'")
        rows = {
            table: dict(
                connection.execute(
                    sql.SQL("select id, owner::text from {} where id %% %s = %s").format(sql.Identifier(table)),
                    [WRITERS, self._number],
                ).fetchall()
            )
            for table in TABLES
        }
        connection.commit()
        return rows

    def _write(self, connection: psycopg.Connection[Any], rows: dict[str, dict[int, str]]) -> None:
        due_s = time.monotonic()
        while not self._over.is_set():
            for _ in range(self._dice.choice([1, 1, 2, 3])):
                self._change(connection, *self._dice.choice(list(rows.items())))
            connection.commit()
            self.transactions += 1
            due_s = max(due_s + self._pause_s, time.monotonic() - 1.0)
            self._over.wait(max(0.0, due_s - time.monotonic()))

    def _change(self, connection: psycopg.Connection[Any], table: str, rows: dict[int, str]) -> None:
        name, owner = sql.Identifier(table), user(self._dice.randrange(USERS))
        row = connection.execute("select nextval('versions')").fetchone()
        version = row[0] if row else 0
        kind = self._dice.choices(["INSERT", "UPDATE", "DELETE"], [3, 5, 2] if len(rows) > 3 else [1, 0, 0])[0]
        id_ = next(self._ids) if kind == "INSERT" else self._dice.choice(list(rows))
        old = rows.get(id_)
        if kind == "INSERT":
            statement = sql.SQL("insert into {} (id, owner, version) values (%(id)s, %(owner)s, %(version)s)")
        elif kind == "UPDATE":
            owner = self._dice.choice([owner, old or owner])
            statement = sql.SQL("update {} set owner = %(owner)s, version = %(version)s where id = %(id)s")
        else:
            statement = sql.SQL("delete from {} where id = %(id)s")
        connection.execute(statement.format(name), {"id": id_, "owner": owner, "version": version})
        new = None if kind == "DELETE" else owner
        connection.execute("insert into history values (%s, %s, %s, %s, %s, %s)", [version, table, kind, id_, old, new])
        rows.pop(id_, None)
        if new is not None:
            rows[id_] = new


@contextmanager
def writing(dsn: str, dice: Random, *, per_s: float) -> Iterator[Sequence[Writer]]:
    """Have all writers write, so many transactions a second together, until the block ends."""
    writers = [Writer(dsn, number, Random(dice.random()), per_s=per_s / WRITERS) for number in range(WRITERS)]  # noqa: S311 - the same every time
    for writer in writers:
        writer.start()
    try:
        yield writers
    finally:
        for writer in writers:
            writer.finish()
