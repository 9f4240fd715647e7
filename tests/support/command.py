"""Runs the real `tidewire` command as a user would, and reads what it says."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMAND = Path(sys.executable).with_name("tidewire")


def environment(database_url: str | None = None) -> dict[str, str]:
    """What a user's shell would have: no Tidewire settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEWIRE_", "DATABASE_URL"))}
    return {**kept, "COLUMNS": "200"} | ({"DATABASE_URL": database_url} if database_url else {})


def run(
    *arguments: str, database_url: str | None = None, folder: Path | None = None, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    return subprocess.run(
        [COMMAND, *arguments],
        env=environment(database_url),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@contextmanager
def running(*arguments: str, database_url: str) -> Iterator[subprocess.Popen[str]]:
    """Run in the background; whatever is still running at the end is killed."""
    process = subprocess.Popen(
        [COMMAND, *arguments],
        env=environment(database_url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def complaint(result: subprocess.CompletedProcess[str]) -> str:
    """Return the error of a command that failed properly: one error line, one fix line, no traceback, no data."""
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 1, result
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert [line.split()[0] for line in lines] == ["error", "fix"], result.stderr
    return lines[0]
