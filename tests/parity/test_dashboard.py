"""What a dashboard of bookings asks of supabase-js, in Node and in a browser: figures, lists, an inbox, its users."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.parity.clients import JAVASCRIPT, Connect
from tests.parity.puppets import Client
from tests.parity.serving import TidewireServer
from tests.support.log import execute

TABLES = "bookings, users, professionals, notifications"
ROLES = "anon, authenticated"
SCHEMA = (
    f"drop table if exists {TABLES}, items cascade",
    "create table users (id int primary key, created_at timestamptz not null default now())",
    "create table professionals (id int primary key, created_at timestamptz not null default now())",
    "create table bookings (id int primary key, status text, total_price_cop numeric, created_at timestamptz)",
    "create table notifications (id int generated always as identity, user_id uuid default auth.uid(), title text)",
    "alter table notifications add primary key (id), add read_at timestamptz",
    f"grant all on {TABLES} to {ROLES}",
    "alter table notifications enable row level security",
    "create policy own on notifications to authenticated using (user_id = auth.uid())",
    "insert into users select n from generate_series(1, 4) n",
    "insert into professionals select n, now() - n * interval '20 days' from generate_series(1, 3) n",
    "insert into bookings select n, (array['pending', 'completed', 'a,b'])[n % 3 + 1] from generate_series(1, 12) n",
    "update bookings set total_price_cop = id * 1000.5, created_at = now() - id * interval '10 days'",
)
HEAD = {"count": "exact", "head": True}
MONTH_AGO = (datetime.now(UTC) - timedelta(days=25)).isoformat()

pytestmark = pytest.mark.parametrize("kind", JAVASCRIPT)


@pytest.fixture(autouse=True)
def tables(tidewire: TidewireServer) -> Iterator[None]:
    execute(tidewire.database_url, *SCHEMA)
    yield
    execute(tidewire.database_url, f"drop table {TABLES}")


@pytest.fixture
def client(connect: Connect) -> Client:
    return connect()


def test_figures(client: Client) -> None:
    for calls, count in (
        ((["from", "bookings"], ["select", "id, status", HEAD]), 12),
        ((["from", "users"], ["select", "id", HEAD]), 4),
        ((["from", "bookings"], ["select", "id", HEAD], ["eq", "status", "pending"]), 4),
        ((["from", "bookings"], ["select", "id", HEAD], ["gte", "created_at", MONTH_AGO]), 2),
        ((["from", "bookings"], ["select", "id", HEAD], ["eq", "status", "nothing"]), 0),
    ):
        assert client.query(*calls) == {"status": 200, "count": count, "data": None, "error": None}
    recent = client.query(["from", "professionals"], ["select", "id, created_at"], ["gte", "created_at", MONTH_AGO])
    assert [row["id"] for row in recent["data"]] == [1]
    assert datetime.fromisoformat(recent["data"][0]["created_at"]).tzinfo is not None
    paid = client.query(["from", "bookings"], ["select", "total_price_cop"], ["eq", "status", "completed"])
    assert sum(row["total_price_cop"] for row in paid["data"]) == 22_011.0


def test_lists(client: Client) -> None:
    newest = client.query(
        ["from", "bookings"],
        ["select", "*"],
        ["order", "created_at", {"ascending": False}],
        ["limit", 20],
    )
    assert [row["id"] for row in newest["data"]] == list(range(1, 13))
    page = client.query(["from", "bookings"], ["select", "id", {"count": "exact"}], ["order", "id"], ["range", 0, 9])
    assert (page["status"], page["count"], len(page["data"])) == (206, 12, 10)
    several = client.query(["from", "bookings"], ["select", "id"], ["in", "status", ["pending", "a,b"]])
    assert len(several["data"]) == 8
    either = client.query(["from", "bookings"], ["select", "id"], ["or", "id.eq.3,total_price_cop.gt.12000"])
    assert [row["id"] for row in either["data"]] == [3, 12]
    one, none = (client.query(["from", "bookings"], ["select"], ["eq", "id", each], ["single"]) for each in (1, 99))
    assert (one["data"]["id"], none["status"], none["error"]["code"]) == (1, 406, "PGRST116")
    nobody = client.query(["from", "bookings"], ["select"], ["eq", "id", 99], ["maybeSingle"])
    assert (nobody["data"], nobody["error"]) == (None, None)


def test_changes(client: Client) -> None:
    made = client.query(["from", "users"], ["insert", [{"id": 10}, {"id": 11}]])
    assert (made["status"], made["data"], made["error"]) == (201, None, None)
    changed = client.query(["from", "bookings"], ["update", {"status": "done"}], ["eq", "id", 1], ["select", "status"])
    assert changed["data"] == [{"status": "done"}]
    put = client.query(["from", "bookings"], ["upsert", {"id": 1, "status": "late"}], ["select"], ["single"])
    assert (put["data"]["id"], put["data"]["status"]) == (1, "late")
    gone = client.query(["from", "users"], ["delete", {"count": "exact"}], ["gte", "id", 10])
    assert (gone["status"], gone["count"]) == (204, 2)


def test_an_inbox_of_whoever_is_signed_in(client: Client, connect: Connect) -> None:
    credentials = {"email": f"{uuid4().hex}@example.org", "password": "correct horse"}
    assert client.auth("signUp", credentials)["error"] is None
    for title in ("first", "second"):
        assert client.query(["from", "notifications"], ["insert", {"title": title}])["error"] is None
    unread = (["from", "notifications"], ["select", "id", HEAD], ["is", "read_at", None])
    assert client.query(*unread)["count"] == 2
    read = {"read_at": datetime.now(UTC).isoformat()}
    marked = client.query(["from", "notifications"], ["update", read], ["eq", "title", "first"], ["select", "title"])
    assert marked["data"] == [{"title": "first"}]
    assert client.query(*unread)["count"] == 1
    assert connect().query(*unread)["count"] == 0, "nobody else sees them"

    assert client.auth("refreshSession")["error"] is None
    assert client.query(*unread)["count"] == 1
    assert client.auth("signOut")["error"] is None
    assert client.query(*unread)["count"] == 0
    wrong = client.auth("signInWithPassword", {**credentials, "password": "wrong horse"})
    assert wrong["error"] == {"code": "invalid_credentials", "status": 400}
    assert client.auth("signInWithPassword", credentials)["error"] is None
    assert client.query(*unread)["count"] == 1
