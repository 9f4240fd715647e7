"""The past outlives the server: whoever says where it stood goes on exactly there, or is told to load again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.parity.serving import TidewireServer
from tests.support.log import execute, fetch
from tests.support.postgres import FAST, MakeServer
from tests.support.restarts import GONE, TABLE, Resuming, Writer, crash, resuming, written
from tests.support.server import migrate
from tidewire.postgres.embedded import EmbeddedPostgres

FAST_CLIENTS = {"TIDEWIRE_EVENTS_PER_S_PER_CONNECTION": "100000"}


@pytest.fixture
def dsn(migrated_database: str) -> str:
    execute(migrated_database, *TABLE)
    return migrated_database


@contextmanager
def serving(dsn: str, folder: Path, **variables: str) -> Iterator[TidewireServer]:
    """Run a server process that can be killed."""
    server = TidewireServer(dsn, folder, **FAST_CLIENTS, **variables)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def served(dsn: str, folder: Path) -> Iterator[TidewireServer]:
    with serving(dsn, folder) as server:
        yield server


def insert(dsn: str, *numbers: int) -> None:
    execute(dsn, *(f"insert into notes values ({number}, 0)" for number in numbers))


# --- kills -----------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
def test_a_server_killed_under_load_again_and_again(dsn: str, served: TidewireServer) -> None:
    with resuming(served.port) as client, resuming(served.port) as slow:
        for each in (client, slow):
            each.join()
        with Writer(dsn):
            for round_ in range(2):
                client.read_more(200 + 37 * round_)  # mostly within one of the larger transactions
                served.kill()
                served.start()
        for each in (client, slow):
            _read_to_the_end(each, dsn)
            assert each.seen == written(dsn)
            assert all(reply["recovered"] is True for reply in each.replies[1:])


@pytest.mark.timeout(60)
def test_a_server_that_is_restarted_twice_before_anybody_is_back(dsn: str, served: TidewireServer) -> None:
    with resuming(served.port) as client:
        client.join()
        insert(dsn, 1)
        client.read()
        served.kill()
        insert(dsn, 2)
        served.start()
        insert(dsn, 3)
        served.kill()
        served.start()
        assert client.join()["recovered"] is True
        insert(dsn, 4)
        client.read(until=4)
        assert client.seen == [1, 2, 3, 4]


@pytest.mark.timeout(120)
def test_a_server_that_never_lives_as_long_as_the_window_does_not_keep_the_log_for_ever(dsn: str, folder: Path) -> None:
    """Each life is shorter than the window; together they are longer, and then the oldest goes."""
    with serving(dsn, folder, TIDEWIRE_RETENTION_AGE_S="6") as served, resuming(served.port) as client, Writer(dsn):
        client.join()
        begin = _confirmed(dsn)
        for _ in range(8):
            client.read_more(200)
            time.sleep(3)  # what is tested is that time passes
            if _confirmed(dsn) > begin:
                break
            served.kill()
            served.start()
            client.join()
        assert _confirmed(dsn) > begin
        assert all(reply["recovered"] is True for reply in client.replies[1:])


def _confirmed(dsn: str) -> int:
    found = "from pg_replication_slots where not temporary and database = current_database()"
    return int(str(fetch(dsn, f"select confirmed_flush_lsn - '0/0'::pg_lsn {found}")))


@pytest.mark.timeout(90)
@pytest.mark.parametrize("server_too", [False, True], ids=["postgres", "both"])
def test_postgres_killed_under_load(make_server: MakeServer, folder: Path, *, server_too: bool) -> None:
    postgres = make_server(fsync="on")
    dsn = postgres.dsn()
    migrate(dsn)
    execute(dsn, *TABLE)
    with serving(dsn, folder) as served, resuming(served.port) as client:
        client.join()
        with Writer(dsn):
            for _ in range(2 - server_too):
                client.read_more(300)
                if server_too:
                    served.kill()
                crash(postgres)
                if server_too:
                    served.start()
        _read_to_the_end(client, dsn)
        assert client.seen == written(dsn)
        assert all(reply["recovered"] is True for reply in client.replies[1:])


def _read_to_the_end(client: Resuming, dsn: str) -> None:
    last = written(dsn)[-1]
    while not client.seen or client.seen[-1] < last:
        try:
            client.read(until=last)
        except GONE:
            client.join()


@pytest.mark.timeout(60)
def test_from_the_kill_to_the_first_change_takes_a_moment(cluster: Path, folder: Path) -> None:
    """The embedded server, as a newcomer runs it; the bound is generous, as other tests want the processor too."""
    with EmbeddedPostgres(cluster, settings=FAST) as postgres:
        migrate(dsn := postgres.dsn())
        execute(dsn, *TABLE)
        with (
            serving("", folder, TIDEWIRE_DATA_DIR=str(cluster)) as served,
            resuming(served.port) as before,
            resuming(served.port) as new,
            Writer(dsn),
        ):
            before.join()
            before.read_more(3000)
            killed_s = time.monotonic()
            served.kill()
            served.start()
            new.join()
            new.read()
            first_s = time.monotonic() - killed_s
            before.read_more(1)
            resumed_s = time.monotonic() - killed_s
    print(f"from SIGKILL to the first change: {first_s:.2f} s; to the first one missed: {resumed_s:.2f} s")  # noqa: T201 - the figures of this test
    assert first_s < 15
