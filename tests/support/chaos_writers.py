"""Writers that go on through every failure, and make up for the time that it has cost them.

Each transaction writes its own history with it, so what was lost in a crash is in neither.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import count
from random import Random
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from tests.support.chaos_tables import USERS, team, user

WRITERS: Final = 4
MOST_BEHIND_S: Final = 10.0
"""So much of what a failure has cost is made up for."""
ROWS: Final = (*[1] * 8, 2, 3)
"""Of a transaction, as often as they stand here. Readers, network and server must be able to catch up on two cores."""
STATEMENTS: Final[Mapping[str, LiteralString]] = {
    "INSERT": "insert into {} (id, owner, version, team) values (%(id)s, %(owner)s, %(version)s, %(team)s)",
    "UPDATE": "update {} set owner = %(owner)s, version = %(version)s, team = %(team)s where id = %(id)s",
    "DELETE": "delete from {} where id = %(id)s",
}
NOTE: Final = """insert into history
                 select %s, %s, %s, %s, %s, %s, relreplident from pg_class where oid = %s::regclass"""
"""The identity cannot change between the write, which has locked the table, and this."""


class Writer(threading.Thread):
    """Writes at a rate until it is told to stop, whatever happens to the database; rows with its number are its own."""

    def __init__(self, dsn: str, number: int, tables: Sequence[str], dice: Random, *, per_s: float) -> None:
        """`tables` may become more."""
        super().__init__(name=f"writer {number}", daemon=True)
        self.transactions = 0
        self.failures = 0
        self._dsn = dsn
        self._tables = tables
        self._number = number
        self._dice = dice
        self._pause_s = 1 / per_s
        self._due_s = time.monotonic()
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
            for table in self._tables
        }
        connection.commit()
        return rows

    def _write(self, connection: psycopg.Connection[Any], rows: dict[str, dict[int, str]]) -> None:
        while not self._over.is_set():
            for _ in range(self._dice.choice(ROWS)):
                table = self._dice.choice(self._tables)
                self._change(connection, table, rows.setdefault(table, {}))
            connection.commit()
            self.transactions += 1
            self._due_s = max(self._due_s + self._pause_s, time.monotonic() - MOST_BEHIND_S)
            self._over.wait(max(0.0, self._due_s - time.monotonic()))

    def _change(self, connection: psycopg.Connection[Any], table: str, rows: dict[int, str]) -> None:
        owner = user(self._dice.randrange(USERS))
        row = connection.execute("select nextval('versions')").fetchone()
        version = row[0] if row else 0
        kind = self._dice.choices(["INSERT", "UPDATE", "DELETE"], [3, 5, 2] if len(rows) > 3 else [1, 0, 0])[0]
        id_ = next(self._ids) if kind == "INSERT" else self._dice.choice(list(rows))
        old = rows.get(id_)
        if kind == "UPDATE":
            owner = self._dice.choice([owner, old or owner])
        values = {"id": id_, "owner": owner, "version": version, "team": team(owner)}
        new = None if kind == "DELETE" else owner
        with connection.pipeline():  # readers, network and server need the time on two cores
            connection.execute(_statement(kind, table), values)
            connection.execute(NOTE, [version, table, kind, id_, old, new, table])
        rows.pop(id_, None)
        if new is not None:
            rows[id_] = new


@cache
def _statement(kind: str, table: str) -> bytes:
    return sql.SQL(STATEMENTS[kind]).format(sql.Identifier(table)).as_bytes()


@contextmanager
def writing(dsn: str, tables: Sequence[str], dice: Random, *, per_s: float) -> Iterator[Sequence[Writer]]:
    """Have all writers write, so many transactions a second together, until the block ends."""
    writers = [Writer(dsn, number, tables, Random(dice.random()), per_s=per_s / WRITERS) for number in range(WRITERS)]  # noqa: S311 - the same every time
    for writer in writers:
        writer.start()
    try:
        yield writers
    finally:
        for writer in writers:
            writer.finish()
