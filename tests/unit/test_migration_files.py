"""The SQL files that ship: their order, their names and the line that says what each is for."""

from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from tidewire.postgres import queries
from tidewire.postgres.migration_files import Migration, read_migrations


def test_versions_have_no_gap_and_every_name_is_unique() -> None:
    shipped = read_migrations()
    versions = sorted({migration.version for migration in shipped})
    assert versions == list(range(1, len(versions) + 1))
    assert max(Counter(migration.key for migration in shipped).values()) == 1


def test_no_file_in_the_folder_is_overlooked() -> None:
    names = {file.name for file in files("tidewire.postgres").joinpath("migrations").iterdir()}
    assert names == {f"{migration.label}.sql" for migration in read_migrations()}


def test_every_migration_says_its_purpose() -> None:
    for migration in read_migrations():
        assert migration.sql.startswith("-- Purpose: "), migration.label
        assert migration.sql.endswith("\n"), migration.label


def test_no_migration_ends_the_transaction_that_holds_it() -> None:
    for migration in read_migrations():
        lines = {line.strip().lower() for line in migration.sql.splitlines()}
        assert lines.isdisjoint({"commit;", "rollback;", "begin;"}), migration.label


def test_a_folder_is_read_pre_halves_first(tmp_path: Path) -> None:
    for name in (
        "0002_post_b",
        "0010_pre_c",
        "0002_pre_b",
        "0001_post_a",
        "1_pre_short",
        "0003_mid_x",
        "0004_pre_Caps",
    ):
        (tmp_path / f"{name}.sql").write_text("select 1")
    assert [migration.label for migration in read_migrations(tmp_path)] == [
        "0002_pre_b",
        "0010_pre_c",
        "0001_post_a",
        "0002_post_b",
    ]


def test_the_checksum_follows_the_text_only() -> None:
    one, same, other = (
        Migration(1, "pre", name, sql) for name, sql in [("a", "select 1"), ("b", "select 1"), ("a", "select 2")]
    )
    assert one.checksum == same.checksum != other.checksum


def test_a_query_is_loaded_by_name() -> None:
    assert "tidewire_migrations" in queries.load("migrate_applied")
    with pytest.raises(FileNotFoundError):
        queries.load("no_such_query")
