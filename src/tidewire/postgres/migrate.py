"""Brings the database objects up to date from the numbered files in migrations/. Does not decide what the objects are.

A version has a `pre` half, safe to apply while the code before it still runs, and a `post` half, to apply once no such
code is left. Each file is one transaction together with its own record, so a crash leaves it applied or untouched.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

import psycopg
from msgspec import Struct
from psycopg import errors as pg
from psycopg.rows import class_row

from tidewire.model.errors import MigrationError, MissingPrivilege, TidewireError
from tidewire.postgres import queries
from tidewire.postgres.connection import translate, translated
from tidewire.postgres.migration_files import Half, Key, Migration

Connection = psycopg.Connection[Any]
State = Literal["applied", "pending", "changed", "newer"]


class Applied(Struct, frozen=True):
    """What the database remembers of a migration."""

    version: int
    half: Half
    name: str
    checksum: str
    applied_at: datetime


class Standing(Struct, frozen=True):
    """One line of the status: a migration and how the database stands to it. `newer`: another Tidewire applied it."""

    version: int
    half: Half
    name: str
    state: State
    applied_at: datetime | None


class Upkeep(Struct, frozen=True):
    """What keeping the partitions of realtime.messages took."""

    created: int
    dropped: int


class _Presence(Struct, frozen=True):
    owner: str | None
    """Who owns the record of applied migrations; None while there is none."""
    ours: bool
    upkeep: bool


def read_status(connection: Connection, migrations: Iterable[Migration]) -> tuple[Standing, ...]:
    """Compare the files with what the database remembers; changes nothing."""
    applied = _read_applied(connection)
    standings = []
    for migration in migrations:
        record = applied.pop(migration.key, None)
        state: State = "pending" if record is None else "applied"
        if record is not None and record.checksum != migration.checksum:
            state = "changed"
        applied_at = record.applied_at if record else None
        standings.append(Standing(migration.version, migration.half, migration.name, state, applied_at))
    standings += [Standing(r.version, r.half, r.name, "newer", r.applied_at) for r in applied.values()]
    return tuple(standings)


def find_pending(
    connection: Connection, migrations: Iterable[Migration], half: Half | None = None
) -> tuple[Migration, ...]:
    """Return what is still to apply, of one half or of both. Raises MigrationError when history was rewritten."""
    applied = _read_applied(connection)
    pending = [migration for migration in migrations if not _is_applied(migration, applied)]
    if half == "post" and (early := [migration.label for migration in pending if migration.half == "pre"]):
        raise MigrationError(
            f"applying the post half: expected every pre half applied, got {', '.join(early)} still to apply",
            hint="run `tidewire migrate --pre`, bring up the new code, then run `tidewire migrate --post`",
        )
    return tuple(migration for migration in pending if half in (None, migration.half))


def apply(
    connection: Connection, pending: Iterable[Migration], progress: Callable[[str], None] = lambda _label: None
) -> tuple[Migration, ...]:
    """Apply in order and return what this call applied; a migration that another runner was faster with is left out.

    The connection must be in autocommit mode. Raises MigrationError at the first file that fails; those before it stay.
    """
    done = []
    for migration in pending:
        try:
            if _apply_one(connection, migration):
                done.append(migration)
                progress(migration.label)
        except psycopg.Error as error:
            raise _failure(error, migration) from None
    return tuple(done)


def keep_up(connection: Connection) -> Upkeep:
    """Make the coming partitions of realtime.messages and drop the outlived ones. Call it again every few hours."""
    with (
        translated("keeping the partitions of realtime.messages"),
        connection.cursor(row_factory=class_row(Upkeep)) as cursor,
    ):
        if not _look(connection).upkeep:
            return Upkeep(created=0, dropped=0)
        return next(cursor.execute(queries.load("migrate_upkeep")))


def write_script(connection: Connection, migration: Migration) -> str:
    """Write what `apply` sends for this file, for people to read or to run with psql in its place."""
    record = psycopg.ClientCursor(connection).mogrify(queries.load("migrate_record"), _record(migration))
    parts = (
        f"-- {migration.label}",
        "begin;",
        queries.load("migrate_lock"),
        migration.sql,
        f"{record.rstrip()};",
        "commit;",
    )
    return "\n".join(parts) + "\n"


def _apply_one(connection: Connection, migration: Migration) -> bool:
    with connection.transaction():
        connection.execute(queries.load("migrate_lock"))
        if _is_applied(migration, _read_applied(connection)):
            return False
        connection.execute(migration.sql)
        connection.execute(queries.load("migrate_record"), _record(migration))
    return True


def _record(migration: Migration) -> dict[str, object]:
    version, half = migration.key
    return {"version": version, "half": half, "name": migration.name, "checksum": migration.checksum}


def _read_applied(connection: Connection) -> dict[Key, Applied]:
    with translated("reading the applied migrations"), connection.cursor(row_factory=class_row(Applied)) as cursor:
        if _look(connection).owner is None:
            return {}
        return {(row.version, row.half): row for row in cursor.execute(queries.load("migrate_applied"))}


def _look(connection: Connection) -> _Presence:
    with connection.cursor(row_factory=class_row(_Presence)) as cursor:
        presence = next(cursor.execute(queries.load("migrate_exists")))
    if presence.ours:
        return presence
    me = connection.info.user
    raise MissingPrivilege(
        f"reading the applied migrations: expected a role that may act as {presence.owner}, who migrated, got {me}",
        hint=f'connect as before, or let an administrator run: grant "{presence.owner}" to "{me}";',
    )


def _is_applied(migration: Migration, applied: Mapping[Key, Applied]) -> bool:
    record = applied.get(migration.key)
    if record is not None and record.checksum != migration.checksum:
        raise MigrationError(
            f"reading {migration.label}: expected the file that was applied on {record.applied_at:%Y-%m-%d}, "
            f"got another text (checksum {migration.checksum[:12]}, applied {record.checksum[:12]})",
            hint="install the Tidewire whose migrations this database has seen, or restore the file; "
            "a change belongs into a new file",
        )
    return record is not None


def _failure(error: psycopg.Error, migration: Migration) -> TidewireError:
    """Name the file, and keep the classes that callers treat differently: a lost connection stays retryable."""
    ours = translate(error, f"applying {migration.label}")
    if ours.retryable:
        return ours
    hint = "nothing of this file was kept; repair the cause and run `tidewire migrate` again"
    if isinstance(error, pg.LockNotAvailable):
        hint = "another transaction holds a lock that is needed; nothing was changed, run `tidewire migrate` again"
    elif isinstance(error, pg.ReadOnlySqlTransaction):
        hint = "connect to the primary server, not to a standby"
    return MigrationError(ours.message, hint=ours.hint or hint)
