"""Fetches other people's servers into folders of their own; neither the machine nor our environment changes."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tidewire.model.errors import BenchmarkFailed

LIMIT_S = 300
DONE = ".installed"


def python_packages(folder: Path, *requirements: str) -> Path:
    """Make a virtual environment and return its folder of programs."""
    programs = folder / "bin"
    if not (folder / DONE).exists():
        _run([sys.executable, "-m", "venv", folder], folder.parent)
        _run([programs / "python", "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *requirements], folder)
        (folder / DONE).touch()
    return programs


def node_packages(folder: Path, *packages: str) -> Path:
    """Install for Node, without running anything of theirs, and return the folder to start from."""
    if not (folder / DONE).exists():
        folder.mkdir(parents=True)
        _run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *packages], folder)
        (folder / DONE).touch()
    return folder


def debian_packages(folder: Path, *packages: str) -> Path:
    """Download packages with what they need beyond this machine, unpack them and return the root of the tree."""
    root = folder / "root"
    if not (folder / DONE).exists():
        (folder / "archives" / "partial").mkdir(parents=True)
        options = ("-o", "Debug::NoLocking=1", "-o", f"Dir::Cache::archives={folder / 'archives'}/")
        _run(["apt-get", "install", "--download-only", "--no-install-recommends", "-qq", *options, *packages], folder)
        archives = sorted((folder / "archives").glob("*.deb"))
        if not archives:  # installed already: apt has nothing to download
            _run(["apt-get", "download", "-qq", *packages], folder / "archives")
            archives = sorted((folder / "archives").glob("*.deb"))
        for archive in archives:
            _run(["dpkg", "-x", archive, root], folder)
        (folder / DONE).touch()
    return root


def libraries(root: Path) -> dict[str, str]:
    """Return the environment in which programs of an unpacked tree find their libraries."""
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(str(path) for path in sorted(root.glob("usr/lib/*-linux-gnu")))}


def _run(command: Sequence[str | Path], folder: Path) -> None:
    program = Path(command[0]).name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchmarkFailed(f"installing with {program}: {error}") from None
    if result.returncode != 0:
        raise BenchmarkFailed(f"installing with {program}: {' '.join((result.stderr or result.stdout).split())[-200:]}")
