"""Why the embedded Postgres may fail to start: each reason is one sentence with its remedy; nothing stays behind."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import FAST, Templates, ask, programs_folder
from tidewire.model.errors import EmbeddedPostgresError
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.embedded_process import running


def failure(server: EmbeddedPostgres) -> EmbeddedPostgresError:
    """Start a server that cannot start, and return its error, which must be one line with a remedy."""
    with pytest.raises(EmbeddedPostgresError) as caught:
        server.start()
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """Return a disk of 240 MB of its own."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=240m,mode=0755", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("only root may mount a small disk; the texts are tested in unit/test_embedded_errors.py")
    yield disk
    subprocess.run(["umount", disk], check=True)


def fill(disk: Path, *, leave_bytes: int) -> None:
    space = os.statvfs(disk)
    with (disk / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, space.f_bavail * space.f_frsize - leave_bytes)


def test_too_little_disk_space_for_a_new_database(small_disk: Path) -> None:
    fill(small_disk, leave_bytes=100 * 2**20)
    error = failure(EmbeddedPostgres(small_disk / "data", settings=FAST))
    assert "expected 200 MB of free disk space, got 9" in error.message
    assert not (small_disk / "data" / "pgdata").exists()


@pytest.mark.timeout(60)
def test_a_disk_that_is_full_at_a_later_start(small_disk: Path) -> None:
    with EmbeddedPostgres(small_disk / "data", settings=FAST):
        pass
    fill(small_disk, leave_bytes=0)
    error = failure(EmbeddedPostgres(small_disk / "data", settings=FAST))
    assert "No space left on device" in error.message
    assert "free some space" in error.hint
    (small_disk / "filler").unlink()
    with EmbeddedPostgres(small_disk / "data", settings=FAST) as server:
        assert ask(server.dsn(), "select 1") == 1


def test_a_folder_of_a_version_that_is_nowhere(cluster: Path) -> None:
    (cluster / "pgdata" / "PG_VERSION").write_text("13\n")
    error = failure(EmbeddedPostgres(cluster))
    assert "written by Postgres 13" in error.message
    assert "18.4" in error.message
    assert "TIDEWIRE_PG_BIN" in error.hint


def test_a_folder_of_another_version_than_the_programs_asked_for(cluster: Path) -> None:
    error = failure(EmbeddedPostgres(cluster, bin_dir=programs_folder("debian-15")))
    assert "written by Postgres 18, but the programs found are of version 15" in error.message


@pytest.mark.timeout(60)
def test_a_folder_of_another_version_opens_with_the_installation_that_fits(folder: Path, templates: Templates) -> None:
    templates.copy_to(folder / "server", "debian-15")
    with EmbeddedPostgres(folder / "server", settings=FAST) as server:
        assert str(ask(server.dsn(), "show server_version")).startswith("15.")


@pytest.mark.parametrize("content", ["", "eighteen\n", "²\n"])
def test_a_folder_whose_version_cannot_be_read(cluster: Path, content: str) -> None:
    (cluster / "pgdata" / "PG_VERSION").write_text(content)
    assert "PG_VERSION" in failure(EmbeddedPostgres(cluster)).message


def test_a_folder_with_other_files(folder: Path) -> None:
    (folder / "data" / "pgdata").mkdir(parents=True)
    (folder / "data" / "pgdata" / "holiday.jpg").touch()
    assert "folder with other files" in failure(EmbeddedPostgres(folder / "data")).message
    assert (folder / "data" / "pgdata" / "holiday.jpg").exists()


def test_a_file_in_the_place_of_the_folder(folder: Path) -> None:
    (folder / "data").touch()
    assert "File exists" in failure(EmbeddedPostgres(folder / "data")).message


def test_a_folder_without_programs(folder: Path) -> None:
    error = failure(EmbeddedPostgres(folder / "data", bin_dir=str(folder)))
    assert str(folder) in error.message
    assert "TIDEWIRE_PG_BIN" in error.hint


def test_a_port_that_is_taken(cluster: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        error = failure(EmbeddedPostgres(cluster, port=taken.getsockname()[1], settings=FAST))
    assert "the port is already in use" in error.message
    assert "TIDEWIRE_POSTGRES_PORT" in error.hint
    assert running(cluster / "pgdata") is None


def test_a_setting_that_does_not_exist(cluster: Path) -> None:
    error = failure(EmbeddedPostgres(cluster, settings={**FAST, "no_such_setting": "1"}))
    assert "no_such_setting" in error.message


def test_a_damaged_configuration_file(cluster: Path) -> None:
    with (cluster / "pgdata" / "postgresql.conf").open("a") as file:
        file.write("this is = = not a setting\n")
    error = failure(EmbeddedPostgres(cluster, settings=FAST))
    assert "the configuration has an error" in error.message
    assert "pgdata/postgresql.conf" in error.message
    assert str(cluster / "postgres.log") in error.hint


def test_a_damaged_data_folder(cluster: Path) -> None:
    (cluster / "pgdata" / "global" / "pg_control").write_bytes(b"")
    error = failure(EmbeddedPostgres(cluster, settings=FAST))
    assert "the data folder is damaged" in error.message
    assert "backup" in error.hint


def test_a_data_folder_that_others_may_read(cluster: Path) -> None:
    (cluster / "pgdata").chmod(0o777)
    error = failure(EmbeddedPostgres(cluster, settings=FAST))
    assert "invalid permissions" in error.message


def test_a_failed_start_does_not_count_as_a_user(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster, settings={**FAST, "no_such_setting": "1"})
    failure(server)
    with EmbeddedPostgres(cluster, settings=FAST):
        pass
    assert running(cluster / "pgdata") is None
    server.stop()
