"""The slot is lost, and with it the history: every client is told when it is back, and comes to the exact state."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from tests.support.live_client import LiveClient
from tests.support.log import execute
from tests.support.postgres import MakeServer
from tests.support.restarts import TABLE
from tests.support.server import RealtimeServer, migrate, realtime
from tests.support.transports import connect
from tidewire.hub.history import OTHER_HISTORY

NOTES = "realtime:notes"
WISH = {"event": "*", "schema": "public", "table": "notes"}
TRANSPORTS = ("websocket", "sse", "longpoll")
LIMIT_S = 20.0
DROP_IT = """
create function drop_it() returns void language plpgsql as $$
begin
  loop
    begin
      perform pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'tidewire';
      perform pg_drop_replication_slot('tidewire');
      return;
    exception when object_in_use then null;
    end;
  end loop;
end $$
"""


Lose = Callable[[str], None]


class Reader:
    """Holds the rows of the table as its own copy, by what it is told and the lists that it loads."""

    def __init__(self, served: RealtimeServer, transport: str, dsn: str) -> None:
        self._served = served
        self._transport = transport
        self._dsn = dsn
        self.client: LiveClient | None = None
        self.rows: dict[int, int] = {}
        self.after: str | None = None

    def come(self) -> None:
        self.client = connect(self._served, self._transport)

    def join(self) -> bool | None:
        """Join where it stood, and return whether it can go on there."""
        assert self.client is not None
        wish = WISH if self.after is None else {**WISH, "after": self.after}
        response = self.client.join(NOTES, postgres_changes=[wish])
        self.after = response["position"]
        assert response.get("reason") == (OTHER_HISTORY if response.get("recovered") is False else None)
        recovered: bool | None = response.get("recovered")
        return recovered

    def load_again(self) -> None:
        """Join until it is told that it cannot go on: at once, or when the server learns that its slot is lost."""
        assert self.client is not None
        while self.join():
            assert self.client.receive("phx_error")["topic"] == NOTES
        self.rows = table(self._dsn)

    def read_until(self, number: int) -> None:
        """Take in changes until a row has come."""
        assert self.client is not None
        while number not in self.rows:
            data = self.client.receive("postgres_changes")["payload"]["data"]
            self.after = data["position"]
            if data["type"] == "DELETE":
                self.rows.pop(data["old_record"]["id"], None)
            else:
                self.rows[data["record"]["id"]] = data["record"]["part"]

    def leave(self) -> None:
        if self.client is not None:
            self.client.vanish()
            self.client = None


def table(dsn: str) -> dict[int, int]:
    with psycopg.connect(dsn) as connection:
        return dict(connection.execute("select id, part from notes").fetchall())


@contextmanager
def readers(served: RealtimeServer, dsn: str) -> Iterator[list[Reader]]:
    """One reader by each transport, all of whom have joined."""
    with ExitStack() as stack:
        made = [Reader(served, transport, dsn) for transport in TRANSPORTS]
        for each in made:
            stack.callback(each.leave)
            each.come()
            each.join()
        yield made


def drop(dsn: str) -> None:
    execute(dsn, "select drop_it()", "insert into notes values (2, 0)")


def outgrow(dsn: str) -> None:
    """Write more than the slot may keep, while a transaction is open that it cannot pass."""
    with psycopg.connect(dsn) as open_one:
        open_one.execute("insert into notes values (2, 0)")
        for _ in range(3):
            fill = "insert into noise select n, repeat('x', 900) from generate_series(1, 20000) n"
            execute(dsn, fill, "select pg_switch_wal()", "checkpoint")


@pytest.mark.timeout(90)
@pytest.mark.parametrize("lose", [drop, outgrow], ids=["dropped", "outgrown"])
def test_every_client_is_told_and_comes_to_the_exact_state(make_server: MakeServer, lose: Lose) -> None:
    dsn = make_server(max_slot_wal_keep_size="1MB", max_wal_size="32MB").dsn()
    migrate(dsn)
    execute(dsn, *TABLE, "create table noise (n int, text text)", DROP_IT)
    told_s: dict[str, float] = {}
    with realtime(dsn) as served, readers(served, dsn) as here, readers(served, dsn) as away:
        execute(dsn, "insert into notes values (1, 0)")
        for each in (*here, *away):
            each.read_until(1)
        for each in away:
            each.leave()
        lose(dsn)
        for transport, each in zip(TRANSPORTS, away, strict=True):
            began_s = time.monotonic()
            each.come()
            each.load_again()
            told_s[transport] = time.monotonic() - began_s
        for each in here:
            assert each.client is not None
            assert each.client.receive("phx_error")["topic"] == NOTES
            each.load_again()
        execute(dsn, "update notes set part = 7 where id = 1", "delete from notes where id = 2")
        execute(dsn, "insert into notes values (3, 0)")
        for each in (*here, *away):
            each.read_until(3)
            assert each.rows == table(dsn) == {1: 7, 3: 0}
    print("told after", ", ".join(f"{time_s:.2f} s ({name})" for name, time_s in told_s.items()))  # noqa: T201 - the figures of this test
    assert max(told_s.values()) < LIMIT_S
