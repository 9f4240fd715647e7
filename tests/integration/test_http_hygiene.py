"""What holds for every door of the server: ids, headers, sizes, rates, origins, HTTPS, and who is behind a proxy."""

import http.client
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import count
from typing import Any, Final
from urllib.parse import urlencode
from uuid import uuid4

import psycopg
import pytest
from msgspec.json import encode
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database
from tests.support.server import Answer, RealtimeServer, realtime, token
from tests.support.websocket import LIMIT_S, RawClient, upgrade_request
from tidewire.assemble import app_options
from tidewire.model.errors import ConfigurationError
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.server.draining_server import server_config
from tidewire.settings import Settings

pytestmark = pytest.mark.timeout(60)  # the first test of each server waits until it has started
APP: Final = "https://app.example"
REST, AUTH, BROADCAST = "/rest/v1/notes", "/auth/v1/settings", "/realtime/v1/api/broadcast"
DOORS: Final = (REST, AUTH, BROADCAST)
EVERYWHERE: Final = (*DOORS, "/auth/v1/nowhere", "/rest/v1/nowhere", "/api/ping", "/metrics", "/healthz", "/nowhere")
PRODUCTION: Final[dict[str, Any]] = {
    "mode": "production",
    "trusted_proxies": ("127.0.0.1",),
    "cors_origins": (APP,),
    "https_redirect": True,
    "hsts_s": 3600,
    "requests_per_s_per_address": 0.01,
    "requests_at_once_per_address": 4,
    "requests_per_s_per_token": 0.01,
    "requests_at_once_per_token": 2,
    "message_limit_bytes": 20_000,
    "auth_attempts_per_min": 2,
    "auto_confirm": True,
}

_addresses = map("198.51.{}.{}".format, count(), count(1))


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        execute(made, "create table notes (id int primary key)", "grant all on notes to anon, authenticated")
        yield made


@pytest.fixture(scope="module")
def development(dsn: str) -> Iterator[RealtimeServer]:
    """A server as it is by default: whoever connects is who asks."""
    with realtime(dsn, message_limit_bytes=20_000) as running:
        yield running


@pytest.fixture(scope="module")
def production(dsn: str) -> Iterator[RealtimeServer]:
    """A server behind a proxy on this machine, which these tests play; few requests are allowed."""
    with realtime(dsn, slot="hygiene", **PRODUCTION) as running:
        yield running


def somebody() -> dict[str, str]:
    """Return what a proxy says of an address that has asked for nothing yet."""
    return {"x-forwarded-for": next(_addresses), "x-forwarded-proto": "https"}


def ask(served: RealtimeServer, path: str, method: str = "GET", body: bytes | None = None, /, **headers: str) -> Answer:
    """Send one request on a connection of its own; `_` in a header's name stands for `-`. Names come in lower case."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=LIMIT_S)) as connection:
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def handshake(served: RealtimeServer, apikey: str, /, **headers: str) -> tuple[int, Mapping[str, str]]:
    """Ask for a WebSocket, and return the status and headers of the answer."""
    target = f"/realtime/v1/websocket?{urlencode({'apikey': apikey, 'vsn': '2.0.0'})}"
    with RawClient(served.port) as client:
        client.send(upgrade_request(target, **{name: value.encode() for name, value in headers.items()}))
        first, *lines = client.read_until(b"\r\n\r\n").decode().splitlines()
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines if line)


def check_shape(path: str, answer: Answer) -> None:
    """The refusal is one that the clients of this door can read."""
    said = answer.json
    if path.startswith("/rest/"):
        assert set(said) == {"code", "message", "details", "hint"}
    elif path.startswith("/auth/"):
        assert said["code"] == answer.status
        assert isinstance(said["error_code"], str)
        assert said["msg"]
    else:
        assert set(said) == {"message"}


# --- ids and headers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EVERYWHERE)
def test_every_answer_has_an_id_and_is_closed(development: RealtimeServer, path: str) -> None:
    for method in ("GET", "DELETE", "OPTIONS"):
        headers = ask(development, path, method).headers
        assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"])
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in headers
        assert "uvicorn/" not in headers.get("server", "")


def test_a_door_says_itself_what_may_be_kept(development: RealtimeServer) -> None:
    answer = ask(development, "/auth/v1/.well-known/jwks.json")
    assert (answer.status, answer.headers["cache-control"]) == (200, "public, max-age=600")


def test_ids_are_kept_from_trusted_proxies_only(development: RealtimeServer, production: RealtimeServer) -> None:
    given = "req-7f/3:a=b+c.d_e"
    assert ask(production, "/healthz", x_request_id=given).headers["x-request-id"] == given
    for unfit in ("a b", "x" * 129, "{}", "é"):
        assert ask(production, "/healthz", x_request_id=unfit).headers["x-request-id"] != unfit
    assert ask(development, "/healthz", x_request_id=given).headers["x-request-id"] != given


def test_the_log_names_the_request(production: RealtimeServer) -> None:
    with capture_logs(processors=[merge_contextvars]) as logs:
        status, headers = handshake(production, "nonsense", x_request_id="one-of-many", **somebody())
        assert (status, headers["x-request-id"]) == (401, "one-of-many")
    assert ("handshake_refused", "one-of-many") in [(each["event"], each.get("request_id")) for each in logs]
    status, headers = handshake(production, token(), x_request_id="welcome", **somebody())
    assert (status, headers["x-request-id"]) == (101, "welcome")


# --- rates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*DOORS, "/metrics", "/nowhere"])
def test_an_address_is_limited_before_anything_is_done_for_it(production: RealtimeServer, path: str) -> None:
    one, other = somebody(), somebody()
    answers = [ask(production, path, apikey=token(), **one) for _ in range(6)]
    assert [each.status == 429 for each in answers] == [False] * 4 + [True] * 2
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 100
    check_shape(path, answers[-1])
    assert ask(production, path, apikey=token(), **other).status != 429
    assert ask(production, "/readyz", **one).status == 200
    figures = ask(production, "/metrics", authorization=f"Bearer {token('service_role')}", **other).body.decode()
    assert 'tidewire_events_total{event="limit_requests"}' in figures


def test_of_version_6_a_whole_network_is_limited(production: RealtimeServer) -> None:
    network = f"2001:db8:{uuid4().hex[:4]}:7"
    answers = [
        ask(production, "/api/ping", x_forwarded_for=f"{network}::{n}", x_forwarded_proto="https").status
        for n in range(1, 7)
    ]
    assert answers == [200] * 4 + [429] * 2


def test_a_claimed_address_helps_nobody(production: RealtimeServer) -> None:
    """What a client writes stands left of what the proxy adds, and is not looked at."""
    mine = next(_addresses)
    statuses = [
        ask(production, "/api/ping", x_forwarded_for=f"{next(_addresses)}, {mine}", x_forwarded_proto="https").status
        for _ in range(5)
    ]
    assert statuses == [200] * 4 + [429]


def test_without_a_trusted_proxy_the_connection_counts(dsn: str) -> None:
    with realtime(dsn, slot="rates", requests_per_s_per_address=0.01, requests_at_once_per_address=3) as served:
        statuses = [ask(served, "/api/ping", **somebody()).status for _ in range(4)]
        assert statuses == [200, 200, 200, 429]


def test_a_token_is_limited_wherever_it_is_used(production: RealtimeServer) -> None:
    mine = token("authenticated", sub=str(uuid4()))
    statuses = [
        ask(production, REST, authorization=f"Bearer {mine}", apikey=token(), **somebody()).status for _ in range(3)
    ]
    assert statuses == [200, 200, 429]
    assert [ask(production, REST, apikey=token(), **somebody()).status for _ in range(5)] == [200] * 5


def test_tokens_that_do_not_pass_count_against_their_address(production: RealtimeServer) -> None:
    address = somebody()
    statuses = [
        ask(production, REST, authorization=f"Bearer {token(sub=str(uuid4()))}x", **address).status for _ in range(5)
    ]
    assert statuses == [401] * 4 + [429]


def test_handshakes_that_are_refused_count_against_their_address(production: RealtimeServer) -> None:
    one = somebody()
    answers = [handshake(production, "nonsense", **one) for _ in range(6)]
    assert [status for status, _ in answers] == [401] * 4 + [429] * 2
    assert 1 <= int(answers[-1][1]["retry-after"]) <= 100
    assert handshake(production, token(), **one)[0] == 429
    assert handshake(production, "nonsense", **somebody())[0] == 401
    assert [handshake(production, token(), **somebody())[0] for _ in range(6)] == [101] * 6


def test_handshakes_that_pass_are_clients_and_limited_as_such(production: RealtimeServer) -> None:
    one = somebody()
    assert [handshake(production, token(), **one)[0] for _ in range(8)] == [101] * 8


def test_a_handshake_is_not_believed_who_it_is_from(dsn: str) -> None:
    with realtime(dsn, slot="shaken", requests_per_s_per_address=0.01, requests_at_once_per_address=3) as served:
        assert [handshake(served, "nonsense", **somebody())[0] for _ in range(4)] == [401, 401, 401, 429]


def test_accounts_see_the_address_behind_the_proxy(production: RealtimeServer, dsn: str) -> None:
    address = somebody()
    wish = encode({"email": f"{uuid4().hex}@example.org", "password": "correct horse"})
    made = ask(production, "/auth/v1/signup", "POST", wish, apikey=token(), **address)
    assert made.status == 200
    with psycopg.connect(dsn) as connection:
        row = connection.execute("select host(ip) from auth.sessions order by created_at desc limit 1").fetchone()
    assert row == (address["x-forwarded-for"],)
    wrong = encode({"email": "nobody@example.org", "password": "wrong horse"})
    tries = [
        ask(production, "/auth/v1/token?grant_type=password", "POST", wrong, apikey=token(), **address)
        for _ in range(2)
    ]
    assert [each.status for each in tries] == [400, 429]
    assert tries[-1].json["error_code"] == "over_request_rate_limit"


# --- sizes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [REST, "/auth/v1/signup", BROADCAST, "/nowhere"])
def test_a_body_may_be_so_large(development: RealtimeServer, path: str) -> None:
    answer = ask(development, path, "POST", b"x" * 20_001, apikey=token(), content_type="application/json")
    assert answer.status == 413
    check_shape(path, answer)


@pytest.mark.parametrize("path", [REST, "/auth/v1/signup", BROADCAST])
def test_a_body_in_chunks_may_be_no_larger(development: RealtimeServer, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\napikey: {token()}\r\ntransfer-encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", development.port), timeout=LIMIT_S) as client:
        client.sendall(head.encode() + (b"2000\r\n" + b"x" * 0x2000 + b"\r\n") * 9)
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_length_that_lies(development: RealtimeServer) -> None:
    """With two lengths nobody knows where the next request begins, so there is none."""
    head = f"POST {BROADCAST} HTTP/1.1\r\nhost: x\r\napikey: {token()}\r\ncontent-type: application/json\r\n"
    for lie in (
        "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        "content-length: -5\r\n\r\n",
        "content-length: 1e3\r\n\r\n",
    ):
        with RawClient(development.port) as client:
            client.send((head + lie).encode())
            assert client.read_all().startswith(b"HTTP/1.1 400 ")
    with RawClient(development.port) as client:  # what is beyond the length is a request of its own, and none
        client.send((head + 'content-length: 15\r\n\r\n{"messages":[]}POST').encode())
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 202 ")


@pytest.mark.parametrize("path", [*DOORS, "/nowhere"])
def test_a_url_may_be_so_long(development: RealtimeServer, path: str) -> None:
    answer = ask(development, f"{path}?{'x' * 33_000}")
    assert answer.status == 414
    check_shape(path, answer)


# --- other origins -------------------------------------------------------------------------------------------

STOCK_HEADERS: Final = (
    "authorization,apikey,x-client-info,content-type,prefer,range,range-unit,accept-profile,content-profile,"
    "x-supabase-api-version,x-retry-count"
)


@pytest.mark.parametrize("path", [*DOORS, "/nowhere"])
def test_preflights(production: RealtimeServer, path: str) -> None:
    preflight = {
        "access-control-request-method": "PATCH",
        "access-control-request-headers": STOCK_HEADERS,
        "origin": APP,
        **somebody(),
    }
    answers = [ask(production, path, "OPTIONS", **preflight) for _ in range(6)]
    assert {each.status for each in answers} == {200}, "they are not counted"
    headers = answers[0].headers
    assert headers["access-control-allow-origin"] == APP
    assert set(STOCK_HEADERS.split(",")) <= set(headers["access-control-allow-headers"].split(","))
    assert {"GET", "POST", "PATCH", "PUT", "DELETE"} <= set(headers["access-control-allow-methods"].split(", "))
    assert int(headers["access-control-max-age"]) >= 600
    refused = ask(production, path, "OPTIONS", **{**preflight, "origin": "https://evil.example"})
    assert "access-control-allow-origin" not in refused.headers


def test_a_page_can_read_what_it_is_told(production: RealtimeServer) -> None:
    """Answers and errors alike, and the headers that clients look at."""
    address = somebody()
    asked = [("/api/ping", 200), (REST, 401), ("/nowhere", 404), (f"/?{'x' * 33_000}", 414), (BROADCAST, 405)]
    for path, status in [*asked, (REST, 429)]:
        answer = ask(production, path, origin=APP, **address)
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == APP
        assert "Origin" in answer.headers["vary"]
        exposed = set(answer.headers["access-control-expose-headers"].lower().split(", "))
        assert exposed >= {
            *("content-range", "content-location", "location", "preference-applied"),
            *("x-request-id", "retry-after", "tidewire-position"),
        }
    other = ask(production, "/api/ping", origin="https://evil.example", **somebody())
    assert "access-control-allow-origin" not in other.headers
    assert other.headers["vary"] == "Origin"


def test_production_is_closed_unless_told_otherwise(dsn: str) -> None:
    with realtime(dsn, slot="closed", mode="production") as served:
        for path in DOORS:
            assert "access-control-allow-origin" not in ask(served, path, origin=APP).headers


def test_development_is_open(development: RealtimeServer) -> None:
    for path in EVERYWHERE:
        assert ask(development, path, origin="http://localhost:5173").headers["access-control-allow-origin"] == "*"


# --- HTTPS ---------------------------------------------------------------------------------------------------


def test_plain_http_is_led_to_https(production: RealtimeServer) -> None:
    plain = {"x-forwarded-for": next(_addresses), "x-forwarded-proto": "http", "host": "api.example.com:80"}
    answer = ask(production, "/rest/v1/a%20b?select=id&id=eq.%2F", **plain)
    assert answer.status == 308
    assert answer.headers["location"] == "https://api.example.com/rest/v1/a%20b?select=id&id=eq.%2F"
    assert "strict-transport-security" not in answer.headers
    assert ask(production, "/api/ping", "HEAD", **plain).status == 308
    for path in DOORS:
        refused = ask(production, path, "POST", b"{}", **plain)
        assert refused.status == 403
        check_shape(path, refused)
    assert ask(production, "/api/ping", **{**plain, "host": "a/b"}).status == 403
    assert ask(production, "/healthz", **plain).status == 200
    status, _ = handshake(production, token(), **plain)
    assert status == 403


def test_over_https_browsers_are_told_to_stay(production: RealtimeServer) -> None:
    answer = ask(production, "/api/ping", **somebody())
    assert (answer.status, answer.headers["strict-transport-security"]) == (200, "max-age=3600")


def test_the_public_address_is_where_it_leads(dsn: str) -> None:
    public = "https://api.example.com:8443"
    with realtime(dsn, slot="public", https_redirect=True, public_url=public) as served:
        answer = ask(served, "/api/ping", x_forwarded_proto="https")  # nobody trusts us to say so
        assert (answer.status, answer.headers["location"]) == (308, f"{public}/api/ping")
        assert answer.headers["x-request-id"]


# --- how it starts -------------------------------------------------------------------------------------------


def test_a_wrong_proxy_is_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigurationError, match="trusted_proxies"):
        app_options(Settings(trusted_proxies=("proxy.example",)))


def test_the_server_around_us_believes_no_header() -> None:
    config = server_config(lambda: None, message_limit_bytes=1, drain_s=1.0, tls=None)
    assert (config.proxy_headers, config.server_header) == (False, False)
