"""Large answers of the data API are sent while they are read: whole or visibly cut; slow readers hold up nobody."""

import socket
import tracemalloc
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support.log import execute, fetch
from tests.support.postgres import fresh_migrated_database
from tests.support.server import Answer, RealtimeServer, realtime, token
from tests.support.waiting import wait_until
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.server.data_lists import LARGE_BYTES

ROWS: Final = 5000
TIMEOUT_S: Final = 1.5
END: Final = b"\r\n0\r\n\r\n"
"""What every answer that is sent in pieces ends with, if it has an end."""
SENDING: Final = "query like '%huge%' and state = 'active' and pid <> pg_backend_pid()"
TABLES = (
    "create table large (id int primary key, body text)",
    f"insert into large select n, repeat('x', 300) || ',' from generate_series(1, {ROWS}) n",
    "create view huge as select n as id, repeat('y', 10000) as body from generate_series(1, 4000) n",
    "create view broken as select id, body, 1 / (id - 5000) as value from large",
    "grant select on large, huge, broken to anon",
)


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        execute(made, *TABLES)
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, api_max_rows=100_000, api_timeout_s=TIMEOUT_S, api_pool=1, accounts=False) as running:
        yield running


def ask(served: RealtimeServer, path: str, **headers: str) -> Answer:
    return served.get(f"/rest/v1/{path}", apikey=token("anon"), **headers)


def begin(served: RealtimeServer, path: str) -> socket.socket:
    """Ask, and read the first bytes of the answer."""
    client = socket.create_connection(("127.0.0.1", served.port), timeout=10)
    client.sendall(f"GET /rest/v1/{path} HTTP/1.1\r\nHost: x\r\napikey: {token('anon')}\r\n\r\n".encode())
    assert client.recv(20).startswith(b"HTTP/1.1 200 ")
    return client


def read_all(client: socket.socket) -> bytes:
    parts = []
    while part := client.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("rows", [0, 1, 2, 500, ROWS])
def test_it_is_one_list_however_it_is_sent(served: RealtimeServer, rows: int) -> None:
    answer = ask(served, f"large?id=lte.{rows}&order=id.desc", prefer="count=exact")
    assert answer.status == 200
    assert [row["id"] for row in answer.json] == list(range(rows, 0, -1))
    assert answer.headers["content-range"] == (f"0-{rows - 1}/{rows}" if rows else "*/0")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert "tidewire-position" in answer.headers
    assert ("content-length" in answer.headers) == (len(answer.body) <= LARGE_BYTES)


def test_a_page_of_it(served: RealtimeServer) -> None:
    answer = ask(served, "large?select=id,body&order=id&limit=3000&offset=1000", prefer="count=exact")
    assert (answer.status, answer.headers["content-range"]) == (206, f"1000-3999/{ROWS}")
    assert [row["id"] for row in answer.json] == list(range(1001, 4001))
    answer = ask(served, f"large?offset={ROWS + 1}", prefer="count=exact")
    assert (answer.status, answer.json["code"]) == (416, "PGRST103")
    planned = ask(served, "large?order=id", prefer="count=planned")
    assert len(planned.json) == ROWS
    assert int(planned.headers["content-range"].rpartition("/")[2]) > 0


def test_csv(served: RealtimeServer) -> None:
    answer = ask(served, "large?order=id", accept="text/csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    lines = answer.body.decode().split("\n")
    assert lines[0] == "id,body"
    assert lines[1:] == [f'{number},"{"x" * 300},"' for number in range(1, ROWS + 1)]
    assert ask(served, "large?id=lt.0", accept="text/csv").body == b"id,body\n"


def test_an_error_in_the_last_row_is_an_error(served: RealtimeServer) -> None:
    """Postgres has counted the rows before it sends the first, so whatever fails in them has failed by then."""
    answer = ask(served, "broken?order=id")
    assert (answer.status, answer.json["code"]) == (400, "22012")
    assert answer.headers["content-type"].startswith("application/json")
    assert ask(served, "large?limit=1").status == 200


def test_what_breaks_half_way_does_not_look_like_the_end(dsn: str, served: RealtimeServer) -> None:
    with begin(served, "huge") as client:
        assert fetch(dsn, f"select count(pg_terminate_backend(pid)) from pg_stat_activity where {SENDING}") == 1
        rest = read_all(client)
    assert not rest.endswith(END)
    assert not rest.rstrip().endswith(b"]")
    assert ask(served, "large?limit=1").status == 200


def test_who_reads_slowly_is_cut_and_keeps_nobody_waiting(dsn: str, served: RealtimeServer) -> None:
    """There is one connection to the database; whoever does not read its rows must not keep it."""
    with begin(served, "huge") as client:
        assert fetch(dsn, f"select count(*) from pg_stat_activity where {SENDING}") == 1
        assert ask(served, "large?limit=1").status == 200, "after the time that a statement may take"
        wait_until(lambda: fetch(dsn, f"select count(*) from pg_stat_activity where {SENDING}") == 0)
        assert not read_all(client).endswith(END)


def test_who_hangs_up_frees_the_connection(dsn: str, served: RealtimeServer) -> None:
    begin(served, "huge").close()
    wait_until(lambda: fetch(dsn, f"select count(*) from pg_stat_activity where {SENDING}") == 0)
    assert ask(served, "large?limit=1").status == 200


@pytest.mark.timeout(60)
def test_memory_does_not_grow_with_the_answer(dsn: str) -> None:
    """The answer has forty megabytes; what the server holds of it is little."""
    with realtime(dsn, ready=False, api_max_rows=100_000, api_timeout_s=40.0, accounts=False) as served:
        tracemalloc.start()
        try:
            with begin(served, "huge") as client:
                received, part = 0, b""
                while not part.endswith(END):
                    part = client.recv(1 << 20)
                    received += len(part)
                _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert received > 40_000_000
    assert peak < 8_000_000
