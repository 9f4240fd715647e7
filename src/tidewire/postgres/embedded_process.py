"""The server as a process: reads its pid file, sees if it lives, starts and ends it. Knows no locks or settings."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from tidewire.model.errors import EmbeddedPostgresError

PROCESSES = Path("/proc")  # Linux only; elsewhere `ps` answers
POLL_S = 0.01
PID_FILE_LIMIT_S = 0.5
STOP_LIMIT_S = 30.0
KILL_LIMIT_S = 10.0


class Postmaster(Struct, frozen=True):
    """What postmaster.pid says. `status` is `starting`, `ready`, `stopping` or, early in a start, empty."""

    pid: int
    port: int
    sockets: str
    status: str


def read_pid_file(pgdata: Path) -> Postmaster | None:
    """Parse postmaster.pid; None when there is none or it does not even hold a number."""
    try:
        lines = (pgdata / "postmaster.pid").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    lines += [""] * (8 - len(lines))
    if not lines[0].strip().isdigit():
        return None
    port = int(lines[3]) if lines[3].strip().isdigit() else 0
    return Postmaster(pid=int(lines[0]), port=port, sockets=lines[4], status=lines[7].strip())


def running(pgdata: Path) -> Postmaster | None:
    """Return the live server of this folder, whoever started it, or None."""
    deadline_s = time.monotonic() + PID_FILE_LIMIT_S
    while (found := read_pid_file(pgdata)) is None and (pgdata / "postmaster.pid").exists():
        if time.monotonic() > deadline_s:  # cut short by a crash, and not just being written
            break
        time.sleep(POLL_S)
    return found if found is not None and serves(found.pid, pgdata) else None


def serves(pid: int, pgdata: Path) -> bool:
    """Tell whether `pid` is a live Postgres of this folder: no zombie, and no unrelated process with its number."""
    if PROCESSES.exists():
        process = PROCESSES / str(pid)
        try:
            name, _, rest = (process / "stat").read_text(errors="replace").partition("(")[2].rpartition(")")
            if rest.split()[0] in "ZX" or name not in {"postgres", "postmaster"}:
                return False
            return os.path.samestat((process / "cwd").stat(), pgdata.stat())
        except PermissionError:  # without ptrace rights the folder is closed to us, but not the command line
            return os.fsencode(pgdata) in (process / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, IndexError):
            return False
    answer = subprocess.run(
        ["ps", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=False
    ).stdout.strip()
    return bool(answer) and not answer.startswith("Z") and str(pgdata) in answer


def stale_pid_ignored(pgdata: Path) -> dict[str, str]:
    """Return the environment in which Postgres starts although postmaster.pid is there, of a server that is not.

    The number in it may belong to another program by now, and Postgres would take that for a live server. This variable
    is how pg_ctl tells it to ignore one number. Removing the file would also do, but it would disarm the check for
    processes of the former server that still use the data.
    """
    if found := read_pid_file(pgdata):
        return {"PG_GRANDPARENT_PID": str(found.pid)}
    (pgdata / "postmaster.pid").unlink(missing_ok=True)  # cut short by a crash: Postgres refuses to read it
    return {}


def launch(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str], **arguments: Any
) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own, so that Ctrl-C in the terminal leaves stopping it to us."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=dict(environment),
            start_new_session=True,
            **arguments,
        )
    finally:
        os.close(descriptor)
    # Whoever stops the server may be another process; without someone waiting here it would stay a zombie of ours.
    threading.Thread(target=process.wait, name=f"postgres-{process.pid}-reaper", daemon=True).start()
    return process


def end(postmaster: Postmaster, pgdata: Path) -> None:
    """Shut the server down cleanly, or at once when it takes too long; returns when it has gone."""
    for order, limit_s in ((signal.SIGINT, STOP_LIMIT_S), (signal.SIGQUIT, KILL_LIMIT_S)):
        try:
            os.kill(postmaster.pid, order)
        except ProcessLookupError:
            return
        if wait_until_gone(postmaster, pgdata, limit_s=limit_s):
            return
    raise EmbeddedPostgresError(
        f"stopping: process {postmaster.pid} is still there after {STOP_LIMIT_S + KILL_LIMIT_S:.0f} s",
        hint=f"end it with kill -9 {postmaster.pid}; the next start recovers",
    )


def wait_until_gone(postmaster: Postmaster, pgdata: Path, *, limit_s: float) -> bool:
    """Wait for the server to end; False when it has not within the limit."""
    deadline_s = time.monotonic() + limit_s
    while serves(postmaster.pid, pgdata):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(POLL_S)
    return True
