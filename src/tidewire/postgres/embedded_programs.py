"""Copies the Postgres programs out of a folder that the account which runs the server cannot enter."""

import hashlib
import os
import shutil
from pathlib import Path

from tidewire.postgres.embedded_account import Account, reachable, root_folder
from tidewire.postgres.programs import Programs

CACHE_ROOT = Path("/var/cache/tidewire")


def reachable_programs(programs: Programs, account: Account) -> Programs:
    """Return programs that the account may run: these, or for root a copy in a place that everyone can read."""
    if os.geteuid() == account.uid or reachable(programs.bin_dir / "postgres", account):
        return programs
    install = programs.bin_dir.parent
    with (programs.bin_dir / "postgres").open("rb") as binary:
        digest = hashlib.file_digest(binary, "sha256").hexdigest()[:16]
    target = CACHE_ROOT / f"postgres-{programs.version}-{digest}"
    if not target.exists():
        root_folder(CACHE_ROOT)
        _copy_programs(install, target)
    return Programs(bin_dir=target / install.parent.name / install.name / "bin", version=programs.version)


def _copy_programs(install: Path, target: Path) -> None:
    """Copy an installation and the wheel's folder of libraries beside it, which its programs find by relative path."""
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    package = install.parent
    skip = shutil.ignore_patterns("include", "*.a", "pgxs", "pkgconfig", "__pycache__")
    shutil.copytree(install, fresh / package.name / install.name, symlinks=True, ignore=skip)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
    for folder, _, names in os.walk(fresh):
        Path(folder).chmod(0o755)
        for path in (Path(folder) / name for name in names):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o444 | (0o111 if path.parent.name == "bin" else 0))
    try:
        fresh.rename(target)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        if not target.exists():  # otherwise another process was quicker, and its copy is as good
            raise
