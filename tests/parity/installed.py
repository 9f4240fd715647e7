"""Installs the stock clients, their Node versions and nothing of ours, once per lock file, into pytest's cache folder.

Versions and checksums come from js/package-lock.json and pypi/requirements.txt. A machine that cannot install them
skips the tests; under CI it fails them.
"""

import fcntl
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.postgres import require

HERE = Path(__file__).parent
PROGRAMS = Path(sys.executable).parent
LIMIT_S = 90.0
"""For one installer; tests have a little more."""
ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}
CHROMIUM = shutil.which("chromium")


def install_packages(cache: Path) -> Path:
    """Return the folder whose node_modules hold the JavaScript clients and two versions of Node."""
    return _needed(_packages(cache))


def install_pypi_client(cache: Path) -> Path:
    """Return the Python of an environment that holds PyPI's `supabase` and `realtime`."""
    return _needed(_pypi_client(cache)) / "venv" / "bin" / "python"


def find_node(packages: Path, alias: str) -> Path:
    """Return the program of a Node version, under its name in js/package.json."""
    machine = ARCHITECTURES.get(platform.machine(), platform.machine())
    program = packages / "node_modules" / f"{alias}-{sys.platform}-{machine}" / "bin" / "node"
    require(present=program.exists(), what=f"Node for {sys.platform} on {machine}")
    return program


def find_chromium() -> str:
    """Return the path of Debian's browser."""
    require(present=CHROMIUM is not None, what="Debian's chromium")
    assert CHROMIUM is not None
    return CHROMIUM


@functools.cache
def _packages(cache: Path) -> Path | str:
    """Return the folder or what is wrong, and try only once: without network each attempt takes its time."""
    lock = HERE / "js" / "package-lock.json"

    def fill(folder: Path) -> str:
        for name in (".npmrc", "package.json", "package-lock.json"):
            shutil.copy(HERE / "js" / name, folder)
        return _run(["npm", "ci", "--ignore-scripts", "--loglevel=error"], folder)

    return _once(cache, "js", lock.read_bytes(), fill)


@functools.cache
def _pypi_client(cache: Path) -> Path | str:
    wanted = HERE / "pypi" / "requirements.txt"
    install = ["uv", "pip", "install", "--quiet", "--require-hashes", "--python", "venv/bin/python"]

    def fill(folder: Path) -> str:
        made = _run(["uv", "venv", "--quiet", "--relocatable", "--python", sys.executable, "venv"], folder)
        return made or _run([*install, "--requirement", str(wanted)], folder)

    return _once(cache, "pypi", wanted.read_bytes(), fill)


def _needed(found: Path | str) -> Path:
    require(present=isinstance(found, Path), what=str(found))
    assert isinstance(found, Path)
    return found


def _once(cache: Path, name: str, key: bytes, fill: Callable[[Path], str]) -> Path | str:
    """Fill a folder unless it is there; of two runs at the same time one waits for the other's."""
    place = cache / f"{name}-{hashlib.sha256(key).hexdigest()[:12]}"
    with (cache / f"{name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if place.exists():
            return place
        for outdated in cache.glob(f"{name}-*"):
            shutil.rmtree(outdated, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=cache, ignore_cleanup_errors=True) as folder:
            made = Path(folder, name)
            made.mkdir()
            complaint = fill(made)
            if complaint:
                return complaint
            made.rename(place)
    return place


def _run(command: Sequence[str], folder: Path) -> str:
    """Run a program of our own environment, and return why it failed."""
    what = f"what `{' '.join(command[:3])}` installs"
    try:
        result = subprocess.run(
            [PROGRAMS / command[0], *command[1:]],
            cwd=folder,
            env={**os.environ, "PATH": os.pathsep.join([str(PROGRAMS), os.environ.get("PATH", "")])},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{what}, within {LIMIT_S:.0f} s,"
    reason, *_ = [*result.stderr.splitlines(), "no word about it"]
    return f"{what} ({reason})" if result.returncode else ""
