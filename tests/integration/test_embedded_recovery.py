"""The embedded Postgres after accidents: kill -9, leftovers of a killed server, lying pid files, half-made folders."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.children import finish, other_user
from tests.support.postgres import FAST, VERSIONS, Templates, ask, live, programs_folder
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.embedded_account import Account
from tidewire.postgres.embedded_process import running, serves

WAIT_LIMIT_S = 15.0


@pytest.fixture(params=list(VERSIONS))
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def any_cluster(folder: Path, templates: Templates, version: str) -> Path:
    templates.copy_to(folder / "server", version)
    return folder / "server"


def opened(data_dir: Path, version: str) -> EmbeddedPostgres:
    return EmbeddedPostgres(data_dir, bin_dir=programs_folder(version), settings=FAST)


def kill(data_dir: Path) -> None:
    """Kill the postmaster as an out-of-memory killer would, and wait until it has gone."""
    pid = live(data_dir).pid
    os.kill(pid, signal.SIGKILL)
    deadline_s = time.monotonic() + WAIT_LIMIT_S
    while serves(pid, data_dir / "pgdata"):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@contextmanager
def unrelated_process(data_dir: Path) -> Iterator[int]:
    """Run something that is no Postgres under the server's account, so that Postgres alone cannot tell them apart."""
    owner = (data_dir / "pgdata").stat()
    account = Account(name="owner", uid=owner.st_uid, gid=owner.st_gid)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd="/", **account.popen_arguments()) as process:
        yield process.pid
        process.kill()


@pytest.mark.timeout(60)
def test_data_survives_kill_9_of_the_server(any_cluster: Path, version: str) -> None:
    with opened(any_cluster, version) as server:
        with psycopg.connect(server.dsn()) as connection:
            connection.execute("create table kept as select 42 as answer")
        kill(any_cluster)
    with opened(any_cluster, version) as server:
        assert ask(server.dsn(), "select answer from kept") == 42


@pytest.mark.timeout(60)
def test_a_start_waits_for_backends_that_a_killed_server_left_behind(any_cluster: Path, version: str) -> None:
    """A busy backend does not notice that the server died, and Postgres rightly refuses to start beside it."""
    busy = (
        "do $$ declare deadline timestamptz = clock_timestamp() + '4 s';"
        " begin while clock_timestamp() < deadline loop end loop; end $$"
    )

    def keep_busy(connection: psycopg.Connection) -> None:
        with contextlib.suppress(psycopg.OperationalError):
            connection.execute(busy.encode())

    with opened(any_cluster, version) as server:
        connection = psycopg.connect(server.dsn(), autocommit=True)
        worker = threading.Thread(target=keep_busy, args=[connection])
        with psycopg.connect(server.dsn(), autocommit=True) as watcher:
            worker.start()
            query = "select count(*) from pg_stat_activity where state = 'active' and pid = %s"
            while watcher.execute(query, [connection.info.backend_pid]).fetchone() != (1,):
                pass
        kill(any_cluster)
    with opened(any_cluster, version) as server:
        assert ask(server.dsn(), "select 1") == 1
    worker.join(WAIT_LIMIT_S)
    connection.close()
    assert "pre-existing shared memory block" in (any_cluster / "postgres.log").read_text()


@pytest.mark.timeout(60)
def test_a_pid_file_whose_number_now_belongs_to_another_program(any_cluster: Path, version: str) -> None:
    with opened(any_cluster, version):
        pid_file = any_cluster / "pgdata" / "postmaster.pid"
        lines = pid_file.read_text().splitlines(keepends=True)
        kill(any_cluster)
    with unrelated_process(any_cluster) as pid:
        pid_file.write_text("".join([f"{pid}\n", *lines[1:]]))
        assert running(any_cluster / "pgdata") is None
        with opened(any_cluster, version) as server:
            assert ask(server.dsn(), "select 1") == 1
            assert live(any_cluster).pid != pid
        os.kill(pid, 0)  # it was left alone


@pytest.mark.parametrize("content", [b"", b"\n", b"not a number\n", b"\xff\xfe\x00"])
def test_a_pid_file_cut_short_by_a_crash(cluster: Path, content: bytes) -> None:
    (cluster / "pgdata" / "postmaster.pid").write_bytes(content)
    with EmbeddedPostgres(cluster, settings=FAST) as server:
        assert ask(server.dsn(), "select 1") == 1


@pytest.mark.timeout(60)
def test_a_start_that_was_interrupted_in_initdb_begins_again(folder: Path) -> None:
    unfinished = folder / "server" / "pgdata.new"
    (unfinished / "base").mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(folder / "server", settings=FAST) as server:
        assert ask(server.dsn(), "select 1") == 1
    assert not unfinished.exists()


@pytest.mark.timeout(60)
def test_a_starter_that_is_killed_during_initdb(folder: Path) -> None:
    """Its initdb works on for a moment; a second one beside it in the same folder would fail."""
    starter = other_user(folder / "server")
    deadline_s = time.monotonic() + WAIT_LIMIT_S
    while not (folder / "server" / "pgdata.new" / "PG_VERSION").exists():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    starter.kill()
    finish(starter)
    with EmbeddedPostgres(folder / "server", settings=FAST) as server:
        assert ask(server.dsn(), "select 1") == 1


def test_users_of_a_killed_server_can_stop_and_start_again(cluster: Path) -> None:
    first, second = EmbeddedPostgres(cluster, settings=FAST), EmbeddedPostgres(cluster, settings=FAST)
    first.start()
    second.start()
    kill(cluster)
    first.stop()
    first.start()
    assert ask(first.dsn(), "select 1") == 1
    second.stop()
    assert ask(first.dsn(), "select 1") == 1
    first.stop()
    assert running(cluster / "pgdata") is None


def test_a_server_that_is_shutting_down_is_waited_for(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, settings=FAST) as server:
        waiting = psycopg.connect(server.dsn())
        old = live(cluster).pid
        os.kill(old, signal.SIGTERM)  # a smart shutdown waits for its clients
        deadline_s = time.monotonic() + WAIT_LIMIT_S
        while live(cluster).status != "stopping":
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        threading.Timer(0.2, waiting.close).start()
        with EmbeddedPostgres(cluster, settings=FAST) as again:
            assert live(cluster).pid != old
            assert ask(again.dsn(), "select 1") == 1


def test_the_account_of_the_server_has_no_privileges(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, settings=FAST):
        uid = Path("/proc", str(live(cluster).pid)).stat().st_uid
    assert uid != 0
    assert uid == (pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid())


def test_a_deleted_folder_begins_afresh(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, settings=FAST) as server, psycopg.connect(server.dsn()) as connection:
        connection.execute("create table gone ()")
    shutil.rmtree(cluster)
    with EmbeddedPostgres(cluster, settings=FAST) as server:
        assert ask(server.dsn(), "select to_regclass('gone')") is None
