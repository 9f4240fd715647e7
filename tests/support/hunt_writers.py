"""Writers of the leak hunt: each changes rows of its own in random transactions, and notes what readers would see."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import closing
from random import Random
from typing import Any

import psycopg
from psycopg import sql

from tests.support.hunt_oracle import Write, look
from tests.support.hunt_tables import TABLES, random_values

SETTINGS = "set timezone = utc; set enable_seqscan = off; set enable_bitmapscan = off"
"""Rows must be found by their key: a policy that fails for another row would otherwise fail for this one."""

JSON_COLUMNS = frozenset({"document"})
ABORTED = 0.1
"""The share of transactions that are taken back."""

_versions = itertools.count(1)
_keys = itertools.count(1)


class Writer(threading.Thread):
    """Start it, then `finish`: what was committed is in `writes`, in the order of each row's versions."""

    def __init__(self, dsn: str, question: str, dice: Random, *, transactions: int) -> None:
        super().__init__(name="writer")
        self.writes: list[Write] = []
        self._connection: psycopg.Connection[Any] = psycopg.connect(dsn, autocommit=True, prepare_threshold=None)
        self._connection.execute(SETTINGS)
        self._question = question
        self._dice = dice
        self._transactions = transactions
        self._rows: dict[str, list[int]] = {table: [] for table in TABLES}
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            with closing(self._connection):
                for _ in range(self._transactions):
                    self._transaction()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the thread raises it
            self._error = error

    def finish(self) -> list[Write]:
        self.join()
        if self._error is not None:
            raise self._error
        return self.writes

    def _transaction(self) -> None:
        rows = {table: list(keys) for table, keys in self._rows.items()}
        done: list[Write] = []
        aborted = self._dice.random() < ABORTED
        table = self._dice.choice(TABLES)  # only one: whoever changes rules locks a table, and nobody may wait twice
        with self._connection.transaction(force_rollback=aborted):
            self._connection.execute(sql.SQL("lock table {} in row exclusive mode").format(sql.Identifier(table)))
            done += [self._write(table, rows[table]) for _ in range(self._dice.choice([1, 1, 2, 4]))]
        if not aborted:
            self.writes += done
            self._rows = rows

    def _write(self, table: str, keys: list[int]) -> Write:
        """Insert, update or delete a row, and look at it before and after."""
        kind = self._dice.choices(["INSERT", "UPDATE", "DELETE"], [3, 6, 2] if keys else [1, 0, 0])[0]
        version = next(_versions)
        if kind == "INSERT":
            key = next(_keys)
            keys.append(key)
            self._insert(table, {"id": key, "version": version, **random_values(self._dice)})
            return Write(table, "INSERT", version, None, key, [], self._look(table, key))
        key = self._dice.choice(keys)
        before = self._look(table, key)
        if kind == "DELETE":
            keys.remove(key)
            self._connection.execute(_named("delete from {} where id = %s", table), [key])
            return Write(table, "DELETE", version, key, None, before, [])
        values = {"version": version, **self._changes()}
        if self._dice.random() < 0.05:
            values["id"] = next(_keys)
            keys[keys.index(key)] = values["id"]
        self._update(table, key, values)
        new_key = values.get("id", key)
        return Write(table, "UPDATE", version, key, new_key, before, self._look(table, new_key))

    def _changes(self) -> dict[str, Any]:
        """Take over some columns of another made-up row; those that decide who sees it more often."""
        values = random_values(self._dice)
        names = self._dice.sample(sorted(values), self._dice.choice([1, 2, 5]))
        return {name: values[name] for name in {*names, *self._dice.choice([(), ("owner",), ("public", "title")])}}

    def _look(self, table: str, key: int) -> Any:
        return look(self._connection, table, key, self._question)

    def _insert(self, table: str, values: dict[str, Any]) -> None:
        statement = sql.SQL("insert into {} ({}) values ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(_marks(values)),
        )
        self._connection.execute(statement, list(values.values()))

    def _update(self, table: str, key: int, values: dict[str, Any]) -> None:
        pairs = zip(map(sql.Identifier, values), _marks(values), strict=True)
        changes = sql.SQL(", ").join(sql.SQL("{} = {}").format(name, mark) for name, mark in pairs)
        statement = sql.SQL("update {} set {} where id = %s").format(sql.Identifier(table), changes)
        self._connection.execute(statement, [*values.values(), key])


def _named(text: Any, table: str) -> sql.Composed:
    return sql.SQL(text).format(sql.Identifier(table))


def _marks(values: dict[str, Any]) -> Iterator[sql.Composable]:
    """Return a placeholder for each value; arrays say of what, because an empty one does not tell."""
    types = {"members": "uuid[]", "tags": "text[]", "document": "jsonb"}
    for name in values:
        yield sql.SQL("%s::" + types[name]) if name in types else sql.SQL("%s")
