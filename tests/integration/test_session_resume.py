"""A client that cannot say where it stood, and names its session instead, misses nothing; it may hear things twice."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.integration.test_resume import ADA, BOB, TABLES, writing
from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, SocketClient, realtime, token
from tidewire.postgres.embedded import EmbeddedPostgres

SESSION = "5f1c2a4e-7d0b-4b43-9d5e-0c7c1e2f3a4b"
WISH = {"event": "INSERT", "schema": "public", "table": "notes"}


def prepare(dsn: str, policy: str = "") -> None:
    execute(
        dsn,
        "create table notes (id int primary key, owner uuid)",
        "grant select on notes to authenticated, anon",
        "alter publication supabase_realtime add table notes",
    )
    if policy:
        execute(dsn, "alter table notes enable row level security", policy)


@pytest.fixture(params=TABLES)
def guarded(request: pytest.FixtureRequest, migrated_database: str) -> str:
    prepare(migrated_database, TABLES[request.param])
    return migrated_database


@pytest.fixture(scope="module")
def shared(server: EmbeddedPostgres) -> Iterator[tuple[RealtimeServer, str]]:
    with fresh_migrated_database(server) as dsn:
        prepare(dsn)
        with realtime(dsn, slot="sessions") as running:
            yield running, dsn


@pytest.fixture
def served(shared: tuple[RealtimeServer, str]) -> RealtimeServer:
    return shared[0]


@pytest.fixture
def dsn(shared: tuple[RealtimeServer, str]) -> str:
    execute(shared[1], "delete from notes")
    return shared[1]


@pytest.fixture
def session() -> str:
    return str(uuid4())


class Stock:
    """A client as official ones are: it joins without a position, and sends a heartbeat once the last was answered."""

    def __init__(self, served: RealtimeServer, session: str = SESSION, *, user: str = ADA) -> None:
        self.client: SocketClient = served.connect(apikey=token("authenticated", sub=user), session=session)
        self.told: list[int] = []
        self.response = self.client.join("realtime:notes", postgres_changes=[WISH])

    def hear(self, until: int) -> list[int]:
        """Read until a row has come, and return all rows since the connection was made."""
        while until not in self.told:
            self._take(self.client.receive("postgres_changes"))
        return self.told

    def beat(self) -> None:
        """Send a heartbeat, and read up to the answer."""
        ref = self.client.push("phoenix", "heartbeat", {}, join_ref=None)
        while (message := self.client.receive("postgres_changes", "phx_reply"))["ref"] != ref:
            self._take(message)

    def read(self, changes: int) -> None:
        for _ in range(changes):
            self._take(self.client.receive("postgres_changes"))

    def cut(self) -> None:
        self.client.raw.socket.close()

    def _take(self, message: dict[str, Any]) -> None:
        if message["event"] == "postgres_changes":
            self.told.append(message["payload"]["data"]["record"]["id"])


def insert(dsn: str, *ids: int) -> None:
    with psycopg.connect(dsn) as connection:
        for id_ in ids:
            connection.execute("insert into notes values (%s, %s)", [id_, ADA])
            connection.commit()


@pytest.mark.timeout(60)
def test_a_stock_client_that_is_cut_again_and_again_misses_nothing(guarded: str) -> None:
    told: list[int] = []
    has_heard = False
    with realtime(guarded) as served:
        client = Stock(served)
        with writing(guarded) as hers:
            for cut in range(6):
                for turn in range(cut % 4):
                    client.read(turn)
                    client.beat()
                client.read(cut % 5)
                client.cut()
                told += client.told
                client = Stock(served)
                has_heard |= cut % 4 > 1
                assert client.response.get("recovered") is (True if has_heard else None)
        told += client.hear(hers[-1])
        client.cut()
    mine = set(hers)
    first_heard = list(dict.fromkeys(id_ for id_ in told if id_ in mine))
    assert first_heard == hers


def test_it_goes_on_from_the_last_heartbeat_that_was_certainly_heard(
    served: RealtimeServer, dsn: str, session: str
) -> None:
    client = Stock(served, session)
    insert(dsn, 1, 2)
    client.hear(2)
    client.beat()
    insert(dsn, 3)
    client.hear(3)
    client.beat()  # so the answer to the first has been heard, and 1 and 2 before it
    insert(dsn, 4)
    client.cut()
    insert(dsn, 5)
    again = Stock(served, session)
    assert again.hear(5) == [3, 4, 5]
    assert again.response["recovered"] is True
    again.cut()
    once_more = Stock(served, session)
    assert once_more.hear(5) == [3, 4, 5]
    assert once_more.response["recovered"] is True
    once_more.cut()


def test_a_client_that_may_not_have_heard_where_it_begins_is_not_told_that_it_missed_nothing(
    served: RealtimeServer, dsn: str, session: str
) -> None:
    """The server may have forgotten its session, and the reply that said so may have been lost."""
    for _ in range(2):
        client = Stock(served, session)
        assert "recovered" not in client.response
        client.beat()
        client.cut()
    insert(dsn, 1)
    client = Stock(served, session)
    assert "recovered" not in client.response
    client.beat()
    client.beat()
    client.cut()
    assert client.told in ([], [1])
    again = Stock(served, session)
    assert again.response["recovered"] is True
    again.cut()


def test_the_connection_before_may_still_look_alive(served: RealtimeServer, dsn: str, session: str) -> None:
    first = Stock(served, session)
    insert(dsn, 11)
    second = Stock(served, session)  # the first one has become a black hole
    assert [id_ for id_ in second.hear(11) if id_ > 10] == [11], "what came just before the first may be told as well"
    first.cut()
    second.beat()
    second.beat()
    second.cut()
    insert(dsn, 12)
    third = Stock(served, session)
    told = [id_ for id_ in third.hear(12) if id_ > 10]
    assert told in ([12], [11, 12]), "the second may still have been told what it missed when it showed its signs"
    third.cut()


@pytest.mark.parametrize("other", ["user", "session"])
def test_nobody_else_goes_on_there(served: RealtimeServer, dsn: str, session: str, other: str) -> None:
    client = Stock(served, session)
    client.cut()
    insert(dsn, 1)
    stranger = Stock(served, session, user=BOB) if other == "user" else Stock(served, str(uuid4()))
    assert "recovered" not in stranger.response
    insert(dsn, 2)
    again = Stock(served, session)
    assert again.hear(2) == [1, 2]
    for each in (stranger, again):
        each.cut()


def test_a_channel_that_its_client_left_begins_anew(served: RealtimeServer, session: str) -> None:
    client = Stock(served, session)
    client.client.push("realtime:notes", "phx_leave", {}, join_ref="1")
    client.client.receive("phx_close")
    client.cut()
    again = Stock(served, session)
    assert "recovered" not in again.response
    again.cut()


def test_whoever_was_away_for_too_long_is_told(migrated_database: str) -> None:
    prepare(migrated_database)
    with realtime(migrated_database, history_bytes=1) as served:
        client = Stock(served)
        client.cut()
        insert(migrated_database, 1, 2, 3)
        witness = Stock(served, session="somebody-who-looks-on")
        insert(migrated_database, 4)
        witness.hear(4)
        again = Stock(served)
        assert again.response["recovered"] is False
        for each in (witness, again):
            each.cut()
