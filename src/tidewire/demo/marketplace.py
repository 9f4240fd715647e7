"""Makes the marketplace in a database, once, and tells whom one can be in it. Starts no server."""

from datetime import date
from typing import Any, Final, Literal

import psycopg
from msgspec import Struct
from psycopg import sql
from psycopg.rows import class_row

from tidewire.demo import scripts
from tidewire.postgres.connection import translated
from tidewire.postgres.migrate import apply, find_pending
from tidewire.postgres.migration_files import read_migrations
from tidewire.postgres.publish import publish
from tidewire.postgres.table_names import TableName

SCHEMA: Final = "tidewire_demo"
TABLES: Final = tuple(
    TableName(SCHEMA, name) for name in ("bookings", "disputes", "notifications", "professionals", "reviews", "users")
)


class Person(Struct, frozen=True):
    """Somebody whose window can be opened, under the name `handle`."""

    id: str
    handle: str
    name: str
    kind: Literal["customer", "professional", "desk"]
    tenant: str
    tenant_name: str

    def claims(self) -> dict[str, Any]:
        """Return what a token says of this person; the policies read nothing else."""
        return {
            "role": "authenticated",
            "sub": self.id,
            "app_metadata": {"tenant": self.tenant, "kind": self.kind},
            "user_metadata": {"name": self.name},
        }


def prepare(connection: psycopg.Connection[Any], today: date) -> tuple[Person, ...]:
    """Bring the database to where the demo can start, and return whom one can be.

    A marketplace that is there already is kept as it is, unless it was made by other scripts than these. The year of a
    new one ends with `today`.
    """
    apply(connection, find_pending(connection, read_migrations()))
    with translated("making the demo's marketplace"), connection.transaction():
        made = connection.execute(scripts.load("made")).fetchone()
        if made is None or made[0] != scripts.version():
            _make(connection, today)
    publish(connection, TABLES, full=True)
    cursor = connection.cursor(row_factory=class_row(Person))
    with translated("reading the people of the demo"):
        return tuple(cursor.execute(scripts.load("people")).fetchall())


def _make(connection: psycopg.Connection[Any], today: date) -> None:
    connection.execute(scripts.load("drop"))
    connection.execute("select pg_catalog.set_config('tidewire_demo.today', %s, true)", [today.isoformat()])
    for name in scripts.MAKING:
        connection.execute(scripts.load(name))
    comment = sql.SQL("comment on schema {} is {}")
    connection.execute(comment.format(sql.Identifier(SCHEMA), sql.Literal(scripts.version())))
