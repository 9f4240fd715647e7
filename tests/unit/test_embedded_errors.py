"""What initdb and failed starts write, and what Tidewire says instead."""

import errno
from pathlib import Path

import pytest

from tidewire.postgres.embedded_errors import (
    held_by_another,
    in_recovery,
    last_meaningful_line,
    os_failure,
    start_failure,
)

STAMP = "2026-01-02 03:04:05.678 UTC [4242] "
LOG = Path("/d/postgres.log")

PORT_TAKEN = """\
LOG:  could not bind IPv4 address "127.0.0.1": Address already in use
WARNING:  could not create listen socket for "127.0.0.1"
FATAL:  could not create any TCP/IP sockets"""
OTHER_VERSION = """\
FATAL:  database files are incompatible with server
DETAIL:  The data directory was initialized by PostgreSQL version 14, which is not compatible with this version 18.4."""
BROKEN_FILE = """\
LOG:  syntax error in file "/d/pgdata/postgresql.conf" line 9, near token "="
FATAL:  configuration file "/d/pgdata/postgresql.conf" contains errors"""


@pytest.mark.parametrize(
    ("log", "sentence", "remedy"),
    [
        (
            'FATAL:  could not write lock file "postmaster.pid": No space left on device',
            "disk is full",
            "free some space",
        ),
        (
            PORT_TAKEN,
            "the port is already in use",
            "TIDEWIRE_POSTGRES_PORT",
        ),
        (
            OTHER_VERSION,
            "another version",
            "TIDEWIRE_PG_BIN",
        ),
        (
            BROKEN_FILE,
            'postgresql.conf" line 9',
            "correct the file",
        ),
        ('FATAL:  could not load "/d/conf/pg_hba.conf"', "access rules", "correct the file"),
        ("initdb: error: could not look up effective user ID 4711: user does not exist", "current user", "/etc/passwd"),
        ("FATAL:  could not map anonymous shared memory: Cannot allocate memory", "not enough memory", "memory"),
        ("PANIC:  could not locate a valid checkpoint record at 0/1528F38", "damaged", "backup"),
        ('initdb: error: could not access directory "/d": Permission denied', "may not be used", "give the folder"),
    ],
)
def test_known_failures_get_a_sentence_and_a_remedy(log: str, sentence: str, remedy: str) -> None:
    stamped = "\n".join(line if line.startswith("initdb") else STAMP + line for line in log.splitlines())
    error = start_failure("starting", stamped, LOG)
    assert sentence in error.message
    assert remedy in error.hint
    assert str(LOG) in error.hint
    assert STAMP.strip() not in error.message
    assert "\n" not in str(error)


def test_an_unknown_failure_shows_the_last_fatal_line_and_where_the_log_is() -> None:
    log = f"{STAMP}LOG:  starting\n{STAMP}FATAL:  the moon is full\n{STAMP}LOG:  database system is shut down\n"
    error = start_failure("starting", log, LOG)
    assert error.message == "starting: the moon is full"
    assert str(LOG) in error.hint


def test_a_server_that_wrote_nothing() -> None:
    assert last_meaningful_line("\n \n") == "the server ended without saying why"


def test_a_very_long_line_is_cut() -> None:
    assert len(last_meaningful_line("FATAL:  " + "x" * 10_000)) <= 300


def test_another_process_in_the_folder_is_worth_waiting_for() -> None:
    assert held_by_another(STAMP + "FATAL:  pre-existing shared memory block (key 1, ID 2) is still in use")
    assert held_by_another(STAMP + 'FATAL:  lock file "postmaster.pid" already exists')
    assert not held_by_another(STAMP + 'FATAL:  lock file "postmaster.pid" is empty')


@pytest.mark.parametrize(
    "line", ["database system was not properly shut down; automatic recovery in progress", "redo starts at 0/1"]
)
def test_recovery_deserves_patience(line: str) -> None:
    assert in_recovery(f"{STAMP}LOG:  {line}\n")
    assert not in_recovery(f"{STAMP}LOG:  starting PostgreSQL 18.4\n")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EACCES, "give the folder"),
        (errno.EROFS, "give the folder"),
        (errno.ENAMETOOLONG, "choose another data folder"),
    ],
)
def test_what_the_operating_system_refuses(number: int, remedy: str) -> None:
    error = os_failure("starting", OSError(number, "no", "/d/pgdata"))
    assert error.message == "starting: no (/d/pgdata)"
    assert remedy in error.hint
