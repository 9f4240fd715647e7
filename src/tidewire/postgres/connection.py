"""Connections to Postgres, and the one place where psycopg's errors become ours. Holds no pool and runs no queries."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tidewire.model.errors import (
    AuthenticationFailed,
    ConfigurationError,
    DatabaseFull,
    DatabaseUnreachable,
    LogicalDecodingOff,
    MissingPrivilege,
    PostgresError,
    QueryCanceled,
    SlotBusy,
    UnknownTable,
)

CONNECT_TIMEOUT_S = 10


def conninfo(dsn: str, **overrides: Any) -> str:
    """Add Tidewire's defaults to a URL or key=value string. Raises ConfigurationError when it cannot be read."""
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(
            f"reading DATABASE_URL: {_first_line(error)}", hint="expected postgresql://user:password@host:5432/database"
        ) from None
    defaults = {"application_name": "tidewire", "connect_timeout": CONNECT_TIMEOUT_S, "client_encoding": "UTF8"}
    return make_conninfo("", **{**defaults, **given, **overrides})


def connect(dsn: str, *, autocommit: bool = True, **overrides: Any) -> psycopg.Connection[tuple[Any, ...]]:
    """Open a connection; the caller closes it. Raises our errors only."""
    with translated("connecting to Postgres"):
        return psycopg.connect(conninfo(dsn, **overrides), autocommit=autocommit)


async def connect_async(dsn: str, *, autocommit: bool = True, **overrides: Any) -> psycopg.AsyncConnection[Any]:
    """Open a connection; the caller closes it. Raises our errors only."""
    with translated("connecting to Postgres"):
        return await psycopg.AsyncConnection.connect(conninfo(dsn, **overrides), autocommit=autocommit)


@contextmanager
def bounded(connection: psycopg.AsyncConnection[Any], limit_s: float) -> Iterator[None]:
    """Hang up when what is asked inside is not answered in time, so that it fails as a broken connection does.

    Cancelling would not do: psycopg then waits for the server to confirm, and a silent one never does.
    """
    timer = asyncio.get_running_loop().call_later(limit_s, _hang_up, connection)
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(connection: psycopg.AsyncConnection[Any]) -> None:
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as handle:
        handle.shutdown(socket.SHUT_RDWR)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn any psycopg error raised inside into ours, saying what was being done."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, doing) from None


def translate(error: psycopg.Error, doing: str) -> PostgresError | ConfigurationError:
    """Choose our error for one of psycopg's. Never includes the connection string or a row."""
    if error.sqlstate is None and isinstance(error, psycopg.OperationalError):
        return _connection_failure(f"{doing}: {_first_line(error)}")
    return translate_sqlstate(error.sqlstate or "", f"{doing}: {_first_line(error)}", error.diag.message_hint)


def translate_sqlstate(sqlstate: str, message: str, hint: str | None = None) -> PostgresError | ConfigurationError:
    """Choose our error for an SQLSTATE. `message` must say what was being done; our hints come before Postgres's."""
    if sqlstate == pg.ObjectNotInPrerequisiteState.sqlstate and "wal_level" in message:
        return LogicalDecodingOff(message)
    try:
        given = pg.lookup(sqlstate)
    except KeyError:
        return PostgresError(message, hint=hint)
    for theirs, ours in _TRANSLATIONS:
        if issubclass(given, theirs):
            return ours(message, hint=ours.default_hint or hint)
    return PostgresError(message, hint=hint)


_TRANSLATIONS: tuple[tuple[type[psycopg.Error], type[PostgresError | ConfigurationError]], ...] = (
    (pg.InvalidPassword, AuthenticationFailed),
    (pg.InvalidAuthorizationSpecification, AuthenticationFailed),
    (pg.InsufficientPrivilege, MissingPrivilege),
    (pg.UndefinedTable, UnknownTable),
    (pg.InvalidName, ConfigurationError),
    (pg.ObjectInUse, SlotBusy),
    (pg.AdminShutdown, DatabaseUnreachable),
    (pg.CrashShutdown, DatabaseUnreachable),
    (pg.CannotConnectNow, DatabaseUnreachable),
    (pg.ConnectionException, DatabaseUnreachable),
    (pg.TooManyConnections, DatabaseFull),
    (pg.QueryCanceled, QueryCanceled),
)


_REFUSALS: tuple[tuple[tuple[str, ...], type[PostgresError], str | None], ...] = (
    # libpq waited for an authentication request and read something else
    (("authentication request",), DatabaseUnreachable, "what answers there is no Postgres: check host and port"),
    (("too many connections", "too many clients", "remaining connection slots"), DatabaseFull, None),
    (("password", "authentication", 'role "', "pg_hba.conf"), AuthenticationFailed, None),
    (("does not exist",), DatabaseUnreachable, "create that database, or name another one in DATABASE_URL"),
    (
        ("must be superuser or replication role", "permission denied to start WAL sender"),
        MissingPrivilege,
        "run ALTER ROLE ... REPLICATION",
    ),
    (("wal_level",), LogicalDecodingOff, None),
)
"""What libpq's texts hold, in the order in which they are tried."""


def _connection_failure(message: str) -> PostgresError:
    """Libpq reports refusals during connection start as text without an SQLSTATE."""
    for words, ours, hint in _REFUSALS:
        if any(word in message for word in words):
            return ours(message, hint=hint)
    return DatabaseUnreachable(message)


def _first_line(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error).strip().partition("\n")[0]
    return text.removeprefix("connection failed: ")
