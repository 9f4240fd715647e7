"""The demo as its page sees it: tokens for its own page only, and rows that reach whom the policies let see them."""

import json
from collections.abc import Iterator

import pytest

from tests.support.accounts import claims_of
from tests.support.demo import ask_as, ask_token, make_marketplace, serving_demo
from tests.support.log import execute
from tests.support.postgres import ask, fresh_migrated_database
from tests.support.server import RealtimeServer, SocketClient, realtime
from tidewire.demo.marketplace import SCHEMA, Person
from tidewire.postgres.embedded import EmbeddedPostgres

pytestmark = pytest.mark.timeout(60)  # the first test makes the marketplace and starts the server

FENCE = """insert into tidewire_demo.bookings (customer_id, professional_id, starts_at)
select c.id, p.id, now() from tidewire_demo.users c join tidewire_demo.users p using (tenant, place)
where (c.tenant, c.kind, p.kind, place) = ('sierra', 'customer', 'professional', 1)"""
TOMORROW = "2030-05-18T10:00:00Z"


class Demo:
    """A served marketplace, and who is in it."""

    def __init__(self, dsn: str, served: RealtimeServer, people: tuple[Person, ...]) -> None:
        self.dsn, self.served = dsn, served
        self.people = {person.handle: person for person in people}

    def token(self, handle: str) -> str:
        return str(ask_token(self.served, handle).json["token"])

    def follow(self, handle: str) -> SocketClient:
        """Join as a window does."""
        client = self.served.connect(apikey=self.token(handle))
        client.join("realtime:demo", postgres_changes=[{"event": "*", "schema": SCHEMA, "table": "bookings"}])
        return client

    def book(self, handle: str, professional: str) -> int:
        body = json.dumps({"professional_id": professional, "starts_at": TOMORROW, "clicked_at": TOMORROW}).encode()
        return ask_as(self.served, self.token(handle), "POST", "bookings", body).status

    def change(self, handle: str, booking: int, **values: object) -> list[str]:
        """Return the status of the bookings that could be changed, or the code of the refusal."""
        path = f"bookings?id=eq.{booking}&select=status"
        asked = json.dumps(values).encode()
        before = ask_as(self.served, self.token(handle), "PATCH", path, asked)
        if before.status >= 400:
            return [str(before.json["code"])]
        return [row["status"] for row in ask_as(self.served, self.token(handle), "GET", path).json]


@pytest.fixture(scope="module")
def demo(server: EmbeddedPostgres) -> Iterator[Demo]:
    with fresh_migrated_database(server) as dsn:
        people = make_marketplace(dsn)
        with serving_demo(dsn, people) as served:
            yield Demo(dsn, served, people)


def next_booking(client: SocketClient) -> tuple[int, str, str]:
    data = client.receive("postgres_changes")["payload"]["data"]
    return data["record"]["id"], data["record"]["tenant"], data["record"]["status"]


def test_a_row_reaches_whom_it_concerns_and_nobody_else(demo: Demo) -> None:
    with demo.follow("ben") as ben, demo.follow("dora") as dora, demo.follow("cleo") as cleo:
        assert demo.book("ana", demo.people["ben"].id) == 201
        booking, tenant, status = next_booking(ben)
        assert (tenant, status) == ("marea", "pending")
        assert next_booking(dora) == (booking, "marea", "pending")
        assert demo.change("ben", booking, status="confirmed") == ["confirmed"]
        assert next_booking(ben) == next_booking(dora) == (booking, "marea", "confirmed")
        execute(demo.dsn, FENCE)
        assert next_booking(cleo)[1] == "sierra", "the first that she hears of"


def test_lists_hold_what_one_may_see(demo: Demo) -> None:
    for handle, column, expected in (
        ("ana", "customer", {"Ana Nube"}),
        ("ben", "professional", {"Ben Farol"}),
        ("dora", "tenant", {"marea"}),
        ("cleo", "tenant", {"sierra"}),
    ):
        rows = ask_as(demo.served, demo.token(handle), "GET", "bookings?order=id.desc&limit=500").json
        assert {row[column] for row in rows} == expected
    for handle, most in (("ana", 1), ("ben", 1), ("cleo", 1000)):
        users = ask_as(demo.served, demo.token(handle), "GET", "users?select=id,tenant").json
        assert 1 <= len(users) <= most
        assert {row["tenant"] for row in users} == {demo.people[handle].tenant}


def test_nobody_writes_what_is_not_theirs(demo: Demo) -> None:
    stranger = ask(demo.dsn, "select min(id::text) from tidewire_demo.professionals where tenant = 'sierra'")
    assert demo.book("ana", stranger) >= 400
    assert demo.book("ben", demo.people["ben"].id) >= 400
    assert demo.book("cleo", demo.people["ben"].id) >= 400
    assert demo.book("ana", demo.people["ben"].id) == 201
    booking = ask(demo.dsn, "select max(id) from tidewire_demo.bookings where customer = 'Ana Nube'")
    assert demo.change("ana", booking, status="confirmed") == ["42501"]
    assert demo.change("ana", booking, total_price_cop=1) == ["42501"]
    assert demo.change("ben", booking, status="completed") == ["23514"]
    assert demo.change("dora", booking, status="confirmed") == ["pending"]
    assert demo.change("cleo", booking, status="confirmed") == []
    assert demo.change("ana", booking, status="cancelled") == ["cancelled"]


def test_tokens_say_what_the_policies_read(demo: Demo) -> None:
    claims = claims_of(demo.token("ana"))
    assert claims["role"] == "authenticated"
    assert claims["sub"] == demo.people["ana"].id
    assert claims["app_metadata"] == {"tenant": "marea", "kind": "customer"}
    assert claims["exp"] - claims["iat"] == 3600
    assert claims_of(ask_token(demo.served, "ana").json["key"])["role"] == "anon"
    assert ask_token(demo.served, "nobody").status == 404
    assert demo.served.get("/demo/token?as=ana").status == 405


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"host": "elsewhere.example"},
        {"host": "127.0.0.1.elsewhere.example"},
        {"host": "[::1"},
    ],
)
def test_only_the_page_itself_gets_a_token(demo: Demo, headers: dict[str, str]) -> None:
    assert ask_token(demo.served, "ana", **headers).status == 403


def test_this_machine_may_be_called_by_its_names(demo: Demo) -> None:
    port = demo.served.port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"):
        assert ask_token(demo.served, "ana", host=host, origin=f"http://{host}").status == 200


def test_the_page_is_served_and_kept_by_its_etag(demo: Demo) -> None:
    page = demo.served.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert b"<style" not in page.body
    assert b"style=" not in page.body
    for name in ("page.css", "page.js", "view.js", "tidewire-client.js", "wave.svg"):
        file = demo.served.get(f"/demo/{name}")
        assert (file.status, file.headers["cache-control"]) == (200, "no-cache")
        assert demo.served.get(f"/demo/{name}", if_none_match=file.headers["etag"]).status == 304
    for path in ("/demo/index.html", "/demo/../page.py", "/demo/%2e%2e/page.py", "/demo/"):
        assert demo.served.get(path).status == 404


def test_other_servers_have_no_such_door(migrated_database: str) -> None:
    with realtime(migrated_database) as served:
        assert ask_token(served, "ana").status == 404
        assert served.get("/").status == 404
