"""`tidewire demo` in an empty folder: the first minute of everybody who tries this."""

from pathlib import Path

import pytest

from tests.support.command import run


@pytest.mark.timeout(120)
def test_the_demo_shows_rows_and_leaves_nothing_running(folder: Path) -> None:
    for _ in range(2):
        result = run("demo", "--changes", "6", "--pace-s", "0.02", folder=folder)
        assert result.returncode == 0, result.stderr
        shown = result.stdout.splitlines()
        assert len(shown) >= 6
        assert all("demo." in line and " ms " in line for line in shown)
        assert "Traceback" not in result.stderr
        assert not (folder / ".tidewire" / "pgdata" / "postmaster.pid").exists()


@pytest.mark.timeout(60)
def test_the_demo_leaves_a_configured_database_alone(folder: Path, database: str) -> None:
    result = run("demo", "--changes", "1", "--pace-s", "0.02", folder=folder, database_url=database)
    assert result.returncode == 0
    doctor = run("doctor", "--json", database_url=database)
    assert '"Migrations"' in doctor.stdout  # still not migrated
