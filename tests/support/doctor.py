"""Asks doctor about a database, and does what it says."""

import time
from collections.abc import Callable

import psycopg

from tidewire.postgres import migrate
from tidewire.postgres.doctor import gather
from tidewire.postgres.doctor_facts import Facts
from tidewire.postgres.finding import Finding, Severity
from tidewire.postgres.findings import examine
from tidewire.postgres.migration_files import read_migrations
from tidewire.settings import Settings

EXPECTED_HERE = {"Fsync"}
"""Test servers run without fsync, and doctor is right to say so."""
PUBLICATIONS = Settings().publications


def look(dsn: str, *tables: str, slot: str = "tidewire_test", now: Callable[[], float] = time.time) -> Facts:
    return gather(dsn, slot=slot, publications=PUBLICATIONS, tables=tables, now=now)


def complaints(facts: Facts) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in examine(facts):
        if finding.severity is not Severity.OK and finding.code not in EXPECTED_HERE:
            found.setdefault(finding.code, []).append(finding)
    return found


def run(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def run_fix(dsn: str, fix: str) -> None:
    """Paste a fix as into psql: one statement a line, comments left out."""
    run(dsn, *(line for line in fix.split("\n") if not line.startswith("--")))


def migrated(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        migrate.apply(connection, migrate.find_pending(connection, read_migrations()))
