"""The embedded Postgres in its normal life: first start, second start, joining, leaving, settings, access rules."""

import os
import shutil
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.support.children import finish, first_line, other_user
from tests.support.postgres import FAST, MakeLogin, MakeServer, ask, live
from tidewire.model.errors import EmbeddedPostgresError
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.postgres.embedded_process import running

WAIT_LIMIT_S = 15.0


@pytest.mark.timeout(60)
def test_the_first_start_needs_nothing_but_a_name_for_the_folder(folder: Path) -> None:
    with EmbeddedPostgres(folder / "a" / "b", settings=FAST) as server:
        assert ask(server.dsn(), "show server_encoding") == "UTF8"
        assert ask(server.dsn(), "show wal_level") == "logical"
        assert ask(server.dsn(), "show max_slot_wal_keep_size") == "4GB"
        assert ask(server.dsn(), "show timezone") == "UTC"
        assert ask(server.dsn(), "show listen_addresses") == ""
        assert ask(server.dsn(), "show data_checksums") == "on"
    assert (folder / "a" / "b" / ".gitignore").read_text() == "*\n"
    assert running(folder / "a" / "b" / "pgdata") is None


def test_both_versions_decode_logically(any_database: str) -> None:
    with psycopg.connect(any_database, autocommit=True) as connection:
        connection.execute("select pg_create_logical_replication_slot('left_by_a_test', 'pgoutput')")


def test_a_second_start_is_quick(cluster: Path) -> None:
    took_s = []
    for _ in range(3):
        began_s = time.perf_counter()
        with EmbeddedPostgres(cluster, settings=FAST):
            took_s.append(time.perf_counter() - began_s)
    assert min(took_s) < 1.0, took_s


def test_starting_and_stopping_twice_is_harmless(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster, settings=FAST)
    server.stop()
    server.start()
    server.start()
    server.stop()
    server.stop()
    assert running(cluster / "pgdata") is None
    with pytest.raises(EmbeddedPostgresError, match="not started"):
        server.dsn()


def test_whoever_comes_later_joins_and_the_last_one_stops_it(cluster: Path) -> None:
    first, second = EmbeddedPostgres(cluster, settings=FAST), EmbeddedPostgres(cluster)
    first.start()
    pid = live(cluster).pid
    second.start()
    assert second.dsn() == first.dsn()
    first.stop()
    assert live(cluster).pid == pid
    second.stop()
    assert running(cluster / "pgdata") is None


@pytest.mark.timeout(60)
def test_two_processes_that_start_at_once_share_one_new_server(folder: Path) -> None:
    processes = [other_user(folder / "new") for _ in range(2)]
    dsns = {first_line(process) for process in processes}
    assert len(dsns) == 1
    assert ask(dsns.pop(), "select 1") == 1
    assert [finish(process) for process in processes] == [0, 0]
    assert running(folder / "new" / "pgdata") is None


@pytest.mark.timeout(60)
def test_a_server_whose_starter_was_killed_is_joined_and_stopped(cluster: Path) -> None:
    starter = other_user(cluster)
    first_line(starter)
    pid = live(cluster).pid
    starter.kill()
    finish(starter)
    with EmbeddedPostgres(cluster) as server:
        assert live(cluster).pid == pid
        assert ask(server.dsn(), "select 1") == 1
    assert running(cluster / "pgdata") is None


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, settings=FAST):
        assert os.getsid(live(cluster).pid) != os.getsid(0)


def test_no_zombie_stays_when_another_process_stops_the_server(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster, settings=FAST)
    server.start()
    pid = live(cluster).pid
    os.kill(pid, signal.SIGINT)
    deadline_s = time.monotonic() + WAIT_LIMIT_S
    while Path("/proc", str(pid)).exists():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    server.stop()


def test_changed_settings_apply_at_the_next_start(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, settings={**FAST, "work_mem": "5MB"}) as server:
        assert ask(server.dsn(), "show work_mem") == "5MB"
    with EmbeddedPostgres(cluster, settings={**FAST, "work_mem": "6MB", "wal_level": "replica"}) as server:
        assert ask(server.dsn(), "show work_mem") == "6MB"
        assert ask(server.dsn(), "show wal_level") == "replica"


def test_what_alter_system_set_survives(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, settings=FAST) as server, psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute("alter system set max_slot_wal_keep_size = '5GB'")
    with EmbeddedPostgres(cluster, settings=FAST) as server:
        assert ask(server.dsn(), "show max_slot_wal_keep_size") == "5GB"


def test_the_folder_is_deleted_while_the_server_runs(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster, settings=FAST)
    server.start()
    pid = live(cluster).pid
    shutil.rmtree(cluster)
    server.stop()
    with suppress(ProcessLookupError):  # Postgres looks once a minute, and may just have done so
        os.kill(pid, signal.SIGKILL)


def test_only_the_superuser_needs_no_password(database: str, make_login: MakeLogin) -> None:
    with_password = make_login(database)
    assert ask(with_password, "select current_user = session_user") is True
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(with_password, password="wrong")
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(database, user=conninfo_to_dict(with_password)["user"])


def test_the_port_is_open_on_loopback_only_and_never_for_the_superuser_without_password(
    cluster: Path,
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with EmbeddedPostgres(cluster, port=port, settings=FAST) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("create role reader login password 'secret'")
        tcp = make_conninfo("", host="127.0.0.1", port=port, dbname="postgres", sslmode="disable")
        assert ask(make_conninfo(tcp, user="reader", password="secret"), "select 1") == 1
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(tcp, user="postgres", password="")
        assert ask(server.dsn(), "show listen_addresses") == "127.0.0.1"


def test_the_socket_is_in_a_private_folder(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, settings=FAST):
        assert Path(live(cluster).sockets).stat().st_mode & 0o777 == 0o700


def test_a_large_log_is_set_aside_at_start(cluster: Path) -> None:
    with (cluster / "postgres.log").open("wb") as log:
        log.truncate(11 * 2**20)
    with EmbeddedPostgres(cluster, settings=FAST):
        assert (cluster / "postgres.log").stat().st_size < 2**20
    assert (cluster / "postgres.log.1").stat().st_size == 11 * 2**20


def test_the_server_sees_none_of_our_environment(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "do-not-pass-this-on")
    with EmbeddedPostgres(cluster, settings=FAST):
        assert b"do-not-pass-this-on" not in Path("/proc", str(live(cluster).pid), "environ").read_bytes()


def test_a_throw_away_server_has_its_own_settings(make_server: MakeServer) -> None:
    server = make_server("debian-15", wal_level="replica")
    assert ask(server.dsn(), "show wal_level") == "replica"
    assert str(ask(server.dsn(), "show server_version")).startswith("15.")
