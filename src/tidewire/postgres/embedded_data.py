"""Creates the data folder with initdb, and says which version wrote an existing one. Starts no server."""

import os
import shutil
import subprocess
from collections.abc import Mapping

from tidewire.model.errors import EmbeddedPostgresError
from tidewire.postgres.embedded_account import own_folder
from tidewire.postgres.embedded_config import SUPERUSER
from tidewire.postgres.embedded_errors import start_failure
from tidewire.postgres.embedded_place import Place, write_file
from tidewire.postgres.programs import Programs

INITDB_LIMIT_S = 120.0
ROOM_FOR_INITDB_BYTES = 200 * 2**20  # a fresh cluster is about 40 MB, its first WAL segments included, and must breathe
LOCALES = ("C.UTF-8", "C")


def written_by(place: Place) -> int | None:
    """Return the major version that wrote the data folder, or None when there is no data yet."""
    try:
        text = (place.pgdata / "PG_VERSION").read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        if place.pgdata.exists() and any(place.pgdata.iterdir()):
            raise EmbeddedPostgresError(
                f"opening {place.pgdata}: expected a Postgres data folder or nothing, got a folder with other files",
                hint="choose another data folder with TIDEWIRE_DATA_DIR, or move those files away",
            ) from None
        return None
    if not text.isdecimal():
        raise EmbeddedPostgresError(
            f"opening {place.pgdata}: expected a version number in PG_VERSION, got something else",
            hint="restore the folder from a backup; if its content does not matter, delete it",
        )
    return int(text)


def initialise(place: Place, programs: Programs, settings: Mapping[str, str], *, keep_open: int) -> None:
    """Run initdb beside the final name, so that a start interrupted here begins again from nothing.

    `keep_open` is the descriptor of the turn: when this process is killed, its initdb works on for a moment, and nobody
    else may begin until it has ended.
    """
    free = shutil.disk_usage(place.home).free
    if free < ROOM_FOR_INITDB_BYTES:
        raise EmbeddedPostgresError(
            f"creating the database: expected {ROOM_FOR_INITDB_BYTES >> 20} MB of free disk space, got {free >> 20} MB",
            hint="free some space, or choose another data folder with TIDEWIRE_DATA_DIR",
        )
    try:
        for locale in LOCALES:
            done = _run_initdb(place, programs, locale, durable=settings.get("fsync") != "off", keep_open=keep_open)
            if done.returncode == 0:
                place.unfinished.rename(place.pgdata)
                return
            if "invalid locale" not in done.stderr:
                break
    finally:
        shutil.rmtree(place.unfinished, ignore_errors=True)
    write_file(place.log, done.stdout + done.stderr, mode=0o600)
    raise start_failure("creating the database", done.stderr, place.log)


def _run_initdb(
    place: Place, programs: Programs, locale: str, *, durable: bool, keep_open: int
) -> subprocess.CompletedProcess[str]:
    if place.unfinished.exists():
        shutil.rmtree(place.unfinished)
    own_folder(place.unfinished, place.account)
    command = [programs.path("initdb"), "-D", str(place.unfinished), f"--username={SUPERUSER}", "--data-checksums"]
    command += ["--encoding=UTF8", f"--locale={locale}", "--auth-local=peer", "--auth-host=scram-sha-256"]
    try:
        return subprocess.run(
            command if durable else [*command, "--no-sync"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=INITDB_LIMIT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            pass_fds=[keep_open],
            env=server_environment(),
            cwd="/",
            **place.account.popen_arguments(),
        )
    except subprocess.TimeoutExpired:
        raise EmbeddedPostgresError(
            f"creating the database: initdb was not done after {INITDB_LIMIT_S:.0f} s",
            hint="look for a slow or failing disk, or choose another data folder with TIDEWIRE_DATA_DIR",
        ) from None


def server_environment() -> dict[str, str]:
    """Give the server only what it needs: its environment is readable by others and outlives this process."""
    kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    return {"LC_ALL": "C", "TZ": "UTC", **{name: os.environ[name] for name in kept if name in os.environ}}
