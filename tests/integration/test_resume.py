"""A client that says where it stood misses nothing and hears nothing twice, however often its connection is cut."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import psycopg
import pytest

from tests.support.log import execute
from tests.support.server import RealtimeServer, SocketClient, realtime, token

ADA, BOB = (f"00000000-0000-4000-8000-00000000{name}" for name in ("ada0", "b0b0"))
TABLES = {
    "open": "",
    "compiled": "create policy p on notes using (owner = auth.uid())",
    "asked": "create policy p on notes using (owner::text = lower(auth.uid()::text))",
}


@pytest.fixture(params=TABLES)
def dsn(request: pytest.FixtureRequest, migrated_database: str) -> str:
    execute(
        migrated_database,
        "create table notes (id int primary key, owner uuid)",
        "grant select on notes to authenticated",
        "alter publication supabase_realtime add table notes",
    )
    if policy := TABLES[request.param]:
        execute(migrated_database, "alter table notes enable row level security", policy)
    return migrated_database


@contextmanager
def writing(dsn: str) -> Iterator[list[int]]:
    """Insert rows of both, in transactions of one to three, until the block ends; what is Ada's is gathered."""
    hers: list[int] = []
    over = threading.Event()

    def write() -> None:
        numbers = count(1)
        with psycopg.connect(dsn) as connection:
            while not over.is_set():
                for number in [next(numbers) for _ in range(next(numbers) % 3 + 1)]:
                    owner = BOB if number % 3 == 0 else ADA
                    connection.execute("insert into notes values (%s, %s)", [number, owner])
                    if owner == ADA:
                        hers.append(number)
                connection.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield hers
    finally:
        over.set()
        writer.join()


def follow(served: RealtimeServer, after: str | None) -> tuple[SocketClient, dict[str, Any]]:
    client = served.connect(apikey=token("authenticated", sub=ADA))
    wish = {"event": "INSERT", "schema": "public", "table": "notes", **({} if after is None else {"after": after})}
    return client, client.join("realtime:notes", postgres_changes=[wish])


@pytest.mark.timeout(60)
def test_a_client_that_is_cut_again_and_again_misses_nothing(dsn: str) -> None:
    told: list[tuple[int, str]] = []
    with realtime(dsn) as served:
        client, response = follow(served, None)
        after = response["position"]
        with writing(dsn) as hers:
            for cut in range(30):
                for _ in range(cut % 7):
                    data = client.receive("postgres_changes")["payload"]["data"]
                    if data["record"]["owner"] == ADA:
                        told.append((data["record"]["id"], data["position"]))
                    after = data["position"]
                client.raw.socket.close()
                client, response = follow(served, after)
                assert (response["recovered"], response["position"]) == (True, after)
        while not told or told[-1][0] != hers[-1]:
            data = client.receive("postgres_changes")["payload"]["data"]
            if data["record"]["owner"] == ADA:
                told.append((data["record"]["id"], data["position"]))
        client.raw.socket.close()
    assert [id_ for id_, _ in told] == hers
