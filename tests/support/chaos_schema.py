"""Changes of tables while they are followed. None changes who may see which rows, so what is owed stays the same."""

from collections.abc import Callable, Sequence
from itertools import count
from random import Random
from typing import Final, Literal

import psycopg

from tests.support.chaos_tables import OWN, SPARE, statements
from tests.support.log import fetch

Kind = Literal[
    "column_added", "column_dropped", "type_altered", "table_published", "policy_changed", "identity_changed"
]

KINDS: Final[tuple[Kind, ...]] = (
    "column_added",
    "column_dropped",
    "type_altered",
    "table_published",
    "policy_changed",
    "identity_changed",
)
MOST_NEW_TABLES: Final = 3
"""So that each is written to often: who follows a table that is quiet for long has to load it again."""
SAME_POLICIES: Final = (
    OWN,
    "(select auth.uid()) = owner",
    "owner::text = auth.jwt() ->> 'sub'",
    "exists (select from circles where who = auth.uid() and owner = who)",
)
"""They all say the same; the last only Postgres can tell."""
LOCK_LIMIT: Final = "2s"


class SchemaChanges:
    """`make` a change of a kind; raises psycopg.Error when the database is not there, or too busy: make it again then.

    Whether it was made all the same is not known after a crash, so each may be made twice.
    """

    def __init__(self, dsn: str, tables: list[str], dice: Random) -> None:
        """New tables are added to `tables` once they are there."""
        self._dsn = dsn
        self._tables = tables
        self._dice = dice
        self._numbers = count()
        self._published = 0
        self._columns = [(table, SPARE) for table in tables]
        self._numeric: set[str] = set()

    @property
    def next_table(self) -> str:
        """Return the name of the table that is published next."""
        return f"late_rows_{self._published + 1}"

    def kinds(self) -> Sequence[Kind]:
        """Return what can be done now."""
        return [kind for kind in KINDS if kind != "table_published" or self._published < MOST_NEW_TABLES]

    def make(self, kind: Kind) -> None:
        makers: dict[Kind, Callable[[], None]] = {
            "column_added": self._add_column,
            "column_dropped": self._drop_column,
            "type_altered": self._alter_type,
            "table_published": self._publish_table,
            "policy_changed": self._change_policy,
            "identity_changed": self._change_identity,
        }
        makers[kind]()

    def _add_column(self) -> None:
        number, table = next(self._numbers), self._dice.choice(self._tables)
        self._execute(
            f"alter table {table} add column if not exists extra_{number} int default {number}",
            f"grant select (extra_{number}) on {table} to authenticated",
        )
        self._columns.append((table, f"extra_{number}"))

    def _drop_column(self) -> None:
        table, column = self._columns[0]
        self._execute(f"alter table {table} drop column if exists {column}")
        del self._columns[0]

    def _alter_type(self) -> None:
        """Rewrite a table with another type of numbers."""
        table = self._dice.choice(self._tables)
        wanted = "bigint" if table in self._numeric else "numeric(20)"
        self._execute(f"alter table {table} alter column version type {wanted}")
        self._numeric ^= {table}

    def _publish_table(self) -> None:
        table = self.next_table
        if not fetch(self._dsn, f"select to_regclass('{table}') is not null"):
            self._execute(*statements(table))
        self._published += 1
        self._tables.append(table)

    def _change_policy(self) -> None:
        """Say the same in other words: of the policy itself, or of another one in its place."""
        wanted = self._dice.choice(SAME_POLICIES)
        replaced = (
            "drop policy readers on own_rows",
            f"create policy readers on own_rows to authenticated using ({wanted})",
        )
        self._execute(*self._dice.choice([replaced, (f"alter policy readers on own_rows using ({wanted})",)]))

    def _change_identity(self) -> None:
        table = self._dice.choice(("open_rows", "team_rows"))
        wanted = self._dice.choice(("full", "default", f"using index {table}_pkey"))
        self._execute(f"alter table {table} replica identity {wanted}")

    def _execute(self, *commands: str) -> None:
        with psycopg.connect(self._dsn) as connection:  # all of them in one transaction
            connection.execute("select set_config('lock_timeout', %s, true)", [LOCK_LIMIT])
            for command in commands:
                connection.execute(command.encode())
