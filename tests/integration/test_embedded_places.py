"""The embedded Postgres in awkward places: folders closed to others, normal users, long and odd names, traps."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import FAST, ask, live, open_folder
from tidewire.model.errors import EmbeddedPostgresError
from tidewire.postgres import embedded_place, embedded_programs
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.embedded_process import running
from tidewire.postgres.programs import find_programs

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another account")

DROP_AND_RUN = """
import os, sys
import psycopg
from pathlib import Path
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.embedded_process import running
uid, gid, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
for _ in range(2):
    with EmbeddedPostgres(folder / "mine", settings={"fsync": "off"}) as server:
        with psycopg.connect(server.dsn()) as connection:
            print(connection.execute("select current_user").fetchone()[0])
    assert running(folder / "mine" / "pgdata") is None
print(oct((folder / "mine").stat().st_mode & 0o777))
try:
    EmbeddedPostgres(folder / "closed" / "mine").start()
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def closed_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder that only root may enter, and lead what moves out of it to a place that the test removes."""
    with open_folder() as root:
        monkeypatch.setattr(embedded_place, "STATE_ROOT", root / "state")
        monkeypatch.setattr(embedded_programs, "CACHE_ROOT", root / "cache")
        closed = root / "closed"
        closed.mkdir(mode=0o700)
        yield closed


@as_root
@pytest.mark.timeout(60)
def test_root_in_a_folder_that_no_other_account_may_enter(closed_folder: Path) -> None:
    data_dir = closed_folder / "project" / ".tidewire"
    with EmbeddedPostgres(data_dir, settings=FAST) as server:
        ask(server.dsn(), "select 1")
        assert (data_dir / "pgdata").is_symlink()
        assert (data_dir / "pgdata").stat().st_mode & 0o777 == 0o700
    with EmbeddedPostgres(data_dir, settings=FAST) as server:
        ask(server.dsn(), "select 1")
    assert len(list((closed_folder.parent / "state").iterdir())) == 1


@as_root
@pytest.mark.timeout(60)
def test_root_with_programs_in_a_folder_that_no_other_account_may_enter(closed_folder: Path) -> None:
    """As in a checkout under /root: the programs, with their libraries found by relative path, are copied once."""
    original = find_programs()
    package = original.bin_dir.parent.parent
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, closed_folder / folder.name, ignore=shutil.ignore_patterns("pginstall", "include"))
    bin_dir = closed_folder / package.name / original.bin_dir.parent.name / "bin"
    copies = closed_folder.parent / "cache"
    for _ in range(2):
        with EmbeddedPostgres(closed_folder / "data", bin_dir=str(bin_dir), settings=FAST) as server:
            assert ask(server.dsn(), "select 1") == 1
            program = Path("/proc", str(live(closed_folder / "data").pid), "exe").readlink()
            assert program.is_relative_to(copies)
        assert len(list(copies.iterdir())) == 1
    assert all(path.stat().st_uid == 0 for path in copies.rglob("*"))


@as_root
@pytest.mark.timeout(60)
def test_root_deletes_such_a_folder_and_begins_afresh_while_the_old_server_still_runs(closed_folder: Path) -> None:
    data_dir = closed_folder / ".tidewire"
    forgotten = EmbeddedPostgres(data_dir, settings=FAST)
    forgotten.start()
    old = live(data_dir)
    home = (data_dir / "pgdata").readlink().parent
    shutil.rmtree(data_dir)
    with EmbeddedPostgres(data_dir, settings=FAST) as server:
        assert ask(server.dsn(), "select 1") == 1
        assert live(data_dir).pid != old.pid
    assert home.with_suffix(".old").exists()


@as_root
def test_root_does_not_trust_a_state_folder_that_others_may_change(closed_folder: Path) -> None:
    state = closed_folder.parent / "state"
    state.mkdir()
    state.chmod(0o777)
    with pytest.raises(EmbeddedPostgresError, match="only root may change"):
        EmbeddedPostgres(closed_folder / ".tidewire").start()


@as_root
def test_root_finds_that_a_folder_was_closed_later(closed_folder: Path, cluster: Path) -> None:
    cluster.rename(closed_folder / "moved")
    with pytest.raises(EmbeddedPostgresError, match="may not enter a folder above it"):
        EmbeddedPostgres(closed_folder / "moved").start()


@pytest.mark.timeout(60)
def test_a_normal_user_keeps_everything_in_the_own_folder(folder: Path) -> None:
    entry = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    (folder / "closed").mkdir(mode=0o500)
    done = subprocess.run(
        [sys.executable, "-c", DROP_AND_RUN, str(entry.pw_uid), str(entry.pw_gid), str(folder)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == ["postgres", "postgres", "0o700"]
    assert lines[3].startswith("EmbeddedPostgresError")
    assert "Permission denied" in lines[3]
    assert "TIDEWIRE_DATA_DIR" in lines[3]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "name", ["x" * 90, "a, b", "it's", 'say "hi"', "back\\slash", "ein Ordner mit Käse", "a=b&c%20"]
)
def test_names_that_are_long_or_odd(folder: Path, cluster: Path, name: str) -> None:
    data_dir = folder / name
    cluster.rename(data_dir)
    for _ in range(2):
        with EmbeddedPostgres(data_dir, settings=FAST) as server:
            assert ask(server.dsn(), "select 1") == 1
            sockets = Path(live(data_dir).sockets)
        assert running(data_dir / "pgdata") is None
    assert sockets.parent == data_dir or not sockets.exists()


def test_a_name_with_a_line_break_is_refused(folder: Path, cluster: Path) -> None:
    cluster.rename(folder / "a\nb")
    with pytest.raises(EmbeddedPostgresError, match="control character"):
        EmbeddedPostgres(folder / "a\nb", settings=FAST).start()


@pytest.mark.parametrize("trap", ["symlink", "open folder", "file"])
def test_a_socket_folder_that_someone_else_prepared_is_refused(folder: Path, cluster: Path, trap: str) -> None:
    run = cluster / "run"
    if run.exists():
        shutil.rmtree(run)
    if trap == "symlink":
        run.symlink_to(folder)
    elif trap == "file":
        run.touch(mode=0o600)
    else:
        run.mkdir()
        run.chmod(0o777)
    with pytest.raises(EmbeddedPostgresError, match="private folder"):
        EmbeddedPostgres(cluster, settings=FAST).start()
