"""Turns what initdb or a failed server start wrote into one sentence and its remedy. Pure: reads no files."""

import errno
import re
from pathlib import Path

from tidewire.model.errors import EmbeddedPostgresError

_FREE_SPACE = "free some space, or choose another data folder with TIDEWIRE_DATA_DIR"
_GIVE_FOLDER = "give the folder to the user who runs Tidewire, or choose another one with TIDEWIRE_DATA_DIR"

_FAILURES: tuple[tuple[str, str, str], ...] = (
    (
        r"No space left on device|could not extend file|Disk quota exceeded",
        "the disk is full",
        _FREE_SPACE,
    ),
    (
        r"could not bind (?:IPv4|IPv6) address \"[^\"]*\": Address already in use",
        "the port is already in use",
        "choose another port with TIDEWIRE_POSTGRES_PORT, or unset it to use only the unix socket",
    ),
    (
        r"could not bind (?:IPv4|IPv6) address \"[^\"]*\": Permission denied",
        "the port may not be opened by this user",
        "choose a port above 1023 with TIDEWIRE_POSTGRES_PORT",
    ),
    (
        r"database files are incompatible with server|The data directory was initialized by PostgreSQL version",
        "the data folder was written by another version of Postgres",
        "set TIDEWIRE_PG_BIN to the bin folder of the version that wrote it",
    ),
    (
        r"syntax error in file|unrecognized configuration parameter|invalid value for parameter|contains errors",
        "the configuration has an error",
        "correct the file or setting that the log names",
    ),
    (
        r"could not load .*pg_hba|could not load .*hba\.conf",
        "the access rules have an error",
        "correct the file that the log names",
    ),
    (
        r"could not look up effective user ID",
        "the operating system does not know the current user",
        "run as a user that /etc/passwd lists",
    ),
    (
        r"could not map anonymous shared memory|could not create shared memory segment|Cannot allocate memory",
        "there is not enough memory",
        "free some memory, or give the machine or container more",
    ),
    (
        r"checkpoint record|file \"global/pg_control\"|incorrect checksum in control file",
        "the data folder is damaged",
        "restore it from a backup; if its content does not matter, delete the data folder",
    ),
    (
        r"has invalid permissions|Permission denied|has wrong ownership|Read-only file system|Operation not permitted",
        "the data folder may not be used by this user",
        _GIVE_FOLDER,
    ),
)

_HELD = re.compile(r"pre-existing shared memory block|lock file \"[^\"]*\" already exists")
_RECOVERY = re.compile(r"automatic recovery in progress|redo starts at|syncing data directory|redo in progress")
_DETAIL_LENGTH = 300


def held_by_another(log: str) -> bool:
    """Tell whether a start failed because another server process, dying or just starting, has the folder: try again."""
    return bool(_HELD.search(log))


def in_recovery(log: str) -> bool:
    """Tell whether the server is repairing itself after a crash, which may take minutes and deserves patience."""
    return bool(_RECOVERY.search(log))


def os_failure(doing: str, error: OSError) -> EmbeddedPostgresError:
    """Build the error for what the operating system refused; the caller raises it."""
    where = f" ({error.filename})" if error.filename else ""
    message = f"{doing}: {error.strerror or error}{where}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return EmbeddedPostgresError(message, hint=_FREE_SPACE)
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return EmbeddedPostgresError(message, hint=_GIVE_FOLDER)
    return EmbeddedPostgresError(message, hint="choose another data folder with TIDEWIRE_DATA_DIR")


def start_failure(doing: str, log: str, log_path: Path) -> EmbeddedPostgresError:
    """Build the error for what the log says; the caller raises it."""
    detail = last_meaningful_line(log)
    for pattern, sentence, hint in _FAILURES:
        if match := re.search(pattern, log):
            line = _line_around(log, match.start())
            return EmbeddedPostgresError(f"{doing}: {sentence}: {line}", hint=f"{hint}; log: {log_path}")
    return EmbeddedPostgresError(f"{doing}: {detail}", hint=f"see the log: {log_path}")


def last_meaningful_line(log: str) -> str:
    """Return the last line that says what went wrong, without time stamp and process number."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for wanted in (r"\b(?:PANIC|FATAL):", r"\b(?:ERROR|error):", r""):
        for line in reversed(lines):
            if re.search(wanted, line):
                return _without_prefix(line)
    return "the server ended without saying why"


def _line_around(text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    return _without_prefix(text[start:].partition("\n")[0])


def _without_prefix(line: str) -> str:
    match = re.search(r"(?:PANIC|FATAL|ERROR|LOG|WARNING|error|DETAIL|HINT):\s*(.*)", line)
    return (match[1] if match else line)[:_DETAIL_LENGTH]
