"""Gathers the facts that doctor judges, in one read-only snapshot. Judges nothing: that is findings.py."""

import ipaddress
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import psycopg
from psycopg.rows import dict_row

from tidewire.model.errors import UnknownTable
from tidewire.postgres import findings_access, findings_publication, queries
from tidewire.postgres.connection import connect, translated
from tidewire.postgres.doctor_facts import Facts, Link, Objects, OpenTransaction, Server, Slot, Table, Unseen
from tidewire.postgres.migration_files import read_migrations
from tidewire.postgres.repair import name

SETTINGS = [
    "wal_level",
    "max_replication_slots",
    "max_wal_senders",
    "max_connections",
    "superuser_reserved_connections",
    "reserved_connections",
    "max_slot_wal_keep_size",
    "wal_sender_timeout",
    "logical_decoding_work_mem",
    "synchronous_commit",
    "wal_writer_delay",
    "fsync",
    "idle_replication_slot_timeout",
]

Connection = psycopg.Connection[Any]
T = TypeVar("T")


def gather(
    dsn: str,
    *,
    slot: str,
    publications: Sequence[str],
    tables: Sequence[str] = (),
    retention_bytes: int = 0,
    now: Callable[[], float] = time.time,
) -> Facts:
    """Look at the database and change nothing. Pass the result to `findings.examine`.

    Raises our errors when there is no connection, and UnknownTable for a table in `tables` that is not there.
    """
    connection = connect(dsn, autocommit=False)
    with translated("examining the database"), connection:
        _begin(connection)
        link = _measure_link(connection, now)
        server = _one(connection, "doctor_server", Server, {"settings": SETTINGS})
        objects = _objects(connection, publications)
        unseen = tuple(_unseen(server, objects))
        return Facts(
            server=server,
            link=link,
            objects=objects,
            slot_name=slot,
            wanted_publications=tuple(publications),
            slots=_all(connection, "doctor_slots", Slot, {"slot": slot}),
            transactions=_all(connection, "doctor_transactions", OpenTransaction),
            tables=_tables(connection, publications, tables),
            retention_bytes=retention_bytes,
            restricted=bool(tables),
            unseen=unseen,
        )


def _begin(connection: Connection) -> None:
    """Open one read-only view of everything, with names that no other schema can take over, and never for long."""
    connection.read_only = True
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.execute(queries.load("doctor_session"))


def _measure_link(connection: Connection, now: Callable[[], float]) -> Link:
    sent_s = now()
    row = connection.execute(queries.load("doctor_clock")).fetchone()
    received_s = now()
    server_s = float(row[0]) if row else received_s
    address = connection.info.hostaddr
    return Link(
        remote=bool(address) and not ipaddress.ip_address(address).is_loopback,
        encrypted=bool(connection.pgconn.ssl_in_use),
        clock_skew_s=server_s - (sent_s + received_s) / 2,
        clock_error_s=(received_s - sent_s) / 2,
    )


def _objects(connection: Connection, publications: Sequence[str]) -> Objects:
    parameters = {
        "roles": list(findings_publication.ROLES),
        "schemas": list(findings_publication.SCHEMAS),
        "publications": list(publications),
        "event_triggers": list(findings_access.EVENT_TRIGGERS),
    }
    objects = _one(connection, "doctor_objects", Objects, parameters)
    if not objects.migrations_readable:
        return objects
    seen = {tuple(row) for row in connection.execute(queries.load("doctor_migrations"))}
    missing = tuple(
        migration.label
        for migration in read_migrations()
        if (migration.version, migration.half, migration.checksum) not in seen
    )
    return msgspec.structs.replace(objects, unapplied_migrations=missing)


def _tables(connection: Connection, publications: Sequence[str], wanted: Sequence[str]) -> tuple[Table, ...]:
    names = _split_names(connection, wanted)
    found = _all(
        connection,
        "doctor_tables",
        Table,
        {
            "publications": list(publications),
            "readers": list(findings_access.READERS),
            "schemas": [schema for schema, _table in names],
            "tables": [table for _schema, table in names],
        },
    )
    there = {(table.schema, table.name) for table in found if table.kind in ("r", "p")}
    missing = [".".join(pair) for pair in names if pair not in there]
    if missing:
        raise UnknownTable(
            f"examining {', '.join(missing)}: expected a table of this database, got no such table",
            hint="write it as schema.table; without a schema, public is meant",
        )
    return found


def _split_names(connection: Connection, names: Sequence[str]) -> list[tuple[str, str]]:
    """Read names as SQL does. More than two parts are no table here; they stay together, to be reported as missing."""
    try:
        rows = connection.execute(queries.load("doctor_names"), {"names": list(names)}).fetchall()
    except psycopg.errors.InvalidParameterValue:
        raise UnknownTable(
            f"examining {', '.join(names)}: expected table names, got something else",
            hint='write a name as schema.table, and quote what is not lower case: public."Orders"',
        ) from None
    return [("public", parts[0]) if len(parts) == 1 else (".".join(parts[:-1]), parts[-1]) for (parts,) in rows]


def _unseen(server: Server, objects: Objects) -> Iterator[Unseen]:
    role = name(server.role)
    if not server.sees_all_sessions:
        yield Unseen("open transactions of other roles", f"GRANT pg_read_all_stats TO {role};")
    if objects.migrations_readable is False:
        yield Unseen(
            "which migrations are applied",
            f"GRANT USAGE ON SCHEMA realtime TO {role};\nGRANT SELECT ON realtime.tidewire_migrations TO {role};",
        )


def _one(connection: Connection, query: str, shape: type[T], parameters: Mapping[str, Any]) -> T:
    return _all(connection, query, shape, parameters)[0]


def _all(
    connection: Connection, query: str, shape: type[T], parameters: Mapping[str, Any] | None = None
) -> tuple[T, ...]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(queries.load(query), parameters or {}).fetchall()
    return msgspec.convert(rows, tuple[shape, ...])  # type: ignore[valid-type]  # mypy cannot see a type in a variable
