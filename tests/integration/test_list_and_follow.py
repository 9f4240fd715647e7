"""Who reads a list and follows it from the list's position has every row once: nothing is lost, nothing comes twice."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from typing import Any

import psycopg
import pytest

from tests.support.log import execute, fetch
from tests.support.postgres import MakeServer
from tests.support.server import RealtimeServer, SocketClient, migrate, realtime, token

HEADERS = {"authorization": f"Bearer {token('authenticated')}"}
PAUSE_S = 0.005
WRITERS = 3


@pytest.fixture
def dsn(migrated_database: str) -> str:
    execute(
        migrated_database,
        "create table notes (id int primary key)",
        "create table other (id int primary key)",
        "grant select on notes, other to authenticated",
        "alter publication supabase_realtime add table notes, other",
    )
    return migrated_database


@contextmanager
def writing(dsn: str) -> Iterator[None]:
    """Insert from several sessions at once, as fast as they can, in transactions of one to three rows."""
    numbers = count(1)
    over = threading.Event()

    def write() -> None:
        """Leave the server, which is in this process, time to keep up: one that lags makes its followers wait."""
        with psycopg.connect(dsn) as connection:
            while not over.wait(PAUSE_S):
                for number in [next(numbers) for _ in range(1 + next(numbers) % 3)]:
                    connection.execute("insert into notes values (%s)", [number])
                connection.commit()

    writers = [threading.Thread(target=write) for _ in range(WRITERS)]
    for each in writers:
        each.start()
    try:
        yield
    finally:
        over.set()
        for each in writers:
            each.join()


def read(served: RealtimeServer, path: str = "notes?select=id") -> tuple[list[int], str]:
    answer = served.get(f"/rest/v1/{path}", **HEADERS)
    assert answer.status == 200, answer
    return [row["id"] for row in json.loads(answer.body)], answer.headers["tidewire-position"]


def follow(served: RealtimeServer, floor: int = 0, **afters: str) -> tuple[SocketClient, dict[str, Any]]:
    """Join for the rows with greater numbers that come to these tables after these positions."""
    client = served.connect(apikey=token("authenticated"))
    wish = {"event": "INSERT", "schema": "public", "filter": f"id=gt.{floor}"}
    wishes = [{**wish, "table": table, "after": after} for table, after in afters.items()]
    return client, client.join("realtime:notes", postgres_changes=wishes)


def told(client: SocketClient, until: int) -> Iterator[tuple[str, int, str]]:
    """Yield table, row and position of each change, up to the row with that number in `notes`."""
    while True:
        data = client.receive("postgres_changes")["payload"]["data"]
        id_ = data["record"]["id"]
        yield data["table"], id_, data["position"]
        if (data["table"], id_) == ("notes", until):
            return


@pytest.mark.timeout(120)
def test_nothing_is_lost_and_nothing_comes_twice_while_others_write(dsn: str) -> None:
    """Clients that read and follow over and over; some stay, and at the end have all that there is, once."""
    staying: list[tuple[int, list[int], SocketClient]] = []
    unlimited = partial(realtime, api_max_rows=1_000_000, outbox_bytes=2**28, events_per_s_per_connection=1e6)
    with unlimited(dsn) as served, ExitStack() as stack:
        with writing(dsn):
            floor = 0
            for number in range(200):
                rows, position = read(served, f"notes?select=id&id=gt.{floor}")
                client, response = follow(served, floor, notes=position)
                assert response["recovered"] is True, response
                if number % 20 == 0:
                    staying.append((floor, rows, stack.enter_context(client)))
                else:
                    rows += [id_ for _, id_, _ in some(client, number % 4)]
                    client.raw.socket.close()
                    assert len(set(rows)) == len(rows), f"round {number}"
                floor = max(rows, default=floor)
        last = 10**9
        execute(dsn, f"insert into notes values ({last})")
        everything = sorted(fetch(dsn, "select array_agg(id) from notes"))
        for floor, rows, client in staying:
            rows += [id_ for _, id_, _ in told(client, last)]
            assert sorted(rows) == [id_ for id_ in everything if id_ > floor]


def some(client: SocketClient, changes: int) -> list[tuple[str, int, str]]:
    datas = [client.receive("postgres_changes")["payload"]["data"] for _ in range(changes)]
    return [(data["table"], data["record"]["id"], data["position"]) for data in datas]


@pytest.mark.timeout(60)
def test_who_is_cut_in_between_goes_on_from_the_last_change(dsn: str) -> None:
    with realtime(dsn, api_max_rows=1_000_000) as served:
        with writing(dsn):
            rows, after = read(served)
            for cut in range(25):
                client, response = follow(served, notes=after)
                assert response["recovered"] is True
                for _, id_, after in some(client, cut % 3):  # noqa: B007 - the last one counts
                    rows.append(id_)
                client.raw.socket.close()
        execute(dsn, "insert into notes values (1000000000)")
        client, _ = follow(served, notes=after)
        rows += [id_ for _, id_, _ in told(client, 1_000_000_000)]
        client.raw.socket.close()
    assert sorted(rows) == sorted(fetch(dsn, "select array_agg(id) from notes"))


def test_a_commit_that_is_in_the_log_and_not_yet_seen_is_told(make_server: MakeServer) -> None:
    """A synchronous standby that does not answer holds a commit back: it is in the log, and no list has it."""
    dsn = make_server("embedded-18", synchronous_standby_names="nobody", synchronous_commit="local").dsn()
    migrate(dsn)
    execute(
        dsn,
        "create table notes (id int primary key)",
        "grant select on notes to authenticated",
        "alter publication supabase_realtime add table notes",
    )
    with realtime(dsn) as served, ExitStack() as stack:
        watching, _ = follow(served, notes=read(served)[1])
        stack.enter_context(watching)
        held = threading.Thread(target=insert_held, args=(dsn, 1))
        held.start()
        assert [id_ for _, id_, _ in some(watching, 1)] == [1], "the log tells it"
        execute(dsn, "insert into notes values (2), (3)")
        assert [id_ for _, id_, _ in some(watching, 2)] == [2, 3]
        rows, position = read(served, "notes?select=id&order=id")
        assert rows == [2, 3], "nobody can see what is held back"
        follower, response = follow(served, notes=position)
        stack.enter_context(follower)
        assert response["recovered"] is True
        ((_, id_, after),) = some(follower, 1)
        assert id_ == 1
        again, _ = follow(served, notes=after)
        stack.enter_context(again)
        execute(dsn, "insert into notes values (4)")
        assert [id_ for _, id_, _ in some(follower, 1)] == [4], "what the list had is not told"
        assert [id_ for _, id_, _ in some(again, 1)] == [4], "nor to who was cut after the first change"
        execute(dsn, "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'")
        held.join()
        rows, position = read(served, "notes?select=id&order=id")
        assert rows == [1, 2, 3, 4]


def insert_held(dsn: str, id_: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set synchronous_commit = on")
        connection.execute("insert into notes values (%s)", [id_])


def test_bindings_that_were_read_at_different_times(dsn: str) -> None:
    with realtime(dsn) as served, ExitStack() as stack:
        first = read(served)[1]
        execute(dsn, "insert into notes values (1)", "insert into other values (1)")
        second = read(served, "other?select=id")[1]
        execute(dsn, "insert into other values (2)", "insert into notes values (2)")
        client, _ = follow(served, notes=first, other=second)
        stack.enter_context(client)
        assert [(table, id_) for table, id_, _ in some(client, 3)] == [("notes", 1), ("other", 2), ("notes", 2)]


def test_a_list_that_was_read_before_a_restart_is_followed_all_the_same(dsn: str) -> None:
    with realtime(dsn) as served:
        execute(dsn, "insert into notes values (1)")
        rows, position = read(served)
        execute(dsn, "insert into notes values (2)")
        assert rows == [1]
    with realtime(dsn) as served:
        client, response = follow(served, notes=position)
        assert response["recovered"] is True
        execute(dsn, "insert into notes values (3)")
        assert [id_ for _, id_, _ in told(client, 3)] == [2, 3]
        client.raw.socket.close()
