"""The same hostile texts at the doors of accounts and of broadcasts: always a refusal in their own words."""

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final
from urllib.parse import quote_from_bytes

import pytest
from psycopg.conninfo import make_conninfo

from tests.support.injection_corpus import CORPUS, MARK, Hostile
from tests.support.injection_places import Sending
from tests.support.log import execute
from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, realtime, token
from tests.support.statement_log import StatementLog
from tidewire.postgres.embedded import EmbeddedPostgres

LOGIN: Final = "server_login"
LIMIT_S: Final = 10.0
SHARE: Final = 6
"""Each place gets one text in so many, and the next place the next ones."""
PLENTY: Final[dict[str, Any]] = {
    "auth_attempts_per_min": 1_000_000,
    "mails_per_h": 1_000_000,
    "anonymous_sign_in": True,
    "events_per_s": 1_000_000,
    "requests_per_s_per_address": 1e6,
    "requests_per_s_per_token": 1e6,
}
DEEP: Final = b"[" * 10_000 + b"]" * 10_000

AUTH_BODIES: Final = {
    "signup": ("POST", "signup", '{"email": @, "password": "a long password"}'),
    "signup password": ("POST", "signup", '{"email": "a", "password": @}'),
    "signup data": ("POST", "signup", '{"data": {@: [@]}}'),
    "signup key": ("POST", "signup", "{@: 1}"),
    "signup phone": ("POST", "signup", '{"phone": @, "password": @}'),
    "password": ("POST", "token?grant_type=password", '{"email": @, "password": @}'),
    "refresh": ("POST", "token?grant_type=refresh_token", '{"refresh_token": @}'),
    "recover": ("POST", "recover", '{"email": @}'),
    "otp": ("POST", "otp", '{"email": @, "create_user": false}'),
    "magiclink": ("POST", "magiclink", '{"email": @}'),
    "resend": ("POST", "resend", '{"email": @, "type": @}'),
    "verify": ("POST", "verify", '{"type": @, "email": @, "token": @}'),
    "verify hash": ("POST", "verify", '{"type": "email", "token_hash": @}'),
    "invite": ("POST", "invite", '{"email": @, "data": {"a": @}}'),
    "user": ("PUT", "user", '{"data": {@: @}}'),
    "admin user": ("POST", "admin/users", '{"email": @, "role": @, "ban_duration": @}'),
    "admin user id": ("POST", "admin/users", '{"id": @, "email": @}'),
    "admin user hash": ("POST", "admin/users", '{"email": "x@example.org", "password_hash": @}'),
    "admin user data": ("POST", "admin/users", '{"email": @, "app_metadata": {@: @}, "user_metadata": {@: 1}}'),
    "admin change": ("PUT", "admin/users/00000000-0000-4000-8000-000000000000", '{"email": @}'),
    "admin delete": ("DELETE", "admin/users/00000000-0000-4000-8000-000000000000", '{"should_soft_delete": @}'),
}
AUTH_PATHS: Final = {
    "grant": ("POST", "token?grant_type=@"),
    "any parameter": ("POST", "token?@"),
    "scope": ("POST", "logout?scope=@"),
    "link": ("GET", "verify?type=@&token=@"),
    "link redirect": ("GET", "verify?type=signup&token=x&redirect_to=@"),
    "redirect": ("POST", "recover?redirect_to=@"),
    "page": ("GET", "admin/users?page=@"),
    "page size": ("GET", "admin/users?per_page=@"),
    "admin user": ("GET", "admin/users/@"),
    "admin user to change": ("PUT", "admin/users/@"),
    "admin user to delete": ("DELETE", "admin/users/@"),
}
WHOLE: Final = ("signup", "token?grant_type=password", "verify", "admin/users", "recover", "logout")

Make = Callable[[Hostile], Sending]


@pytest.fixture(scope="module")
def dsn(logging_server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(logging_server) as made:
        execute(made, f"create role {LOGIN} superuser replication login password 'x'")
        yield made
    execute(logging_server.dsn(), f"drop role {LOGIN}")


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(make_conninfo(dsn, user=LOGIN, password="x"), **PLENTY) as running:
        yield running


@pytest.fixture(scope="module")
def log(dsn: str) -> Iterator[StatementLog]:
    with closing(StatementLog(dsn, LOGIN)) as opened:
        yield opened


def send(served: RealtimeServer, sending: Sending) -> tuple[int, bytes]:
    bearer = token("service_role", sub="00000000-0000-4000-8000-00000000ada0")
    headers = {"authorization": f"Bearer {bearer}", "content-type": "application/json", **sending.headers}
    with closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=LIMIT_S)) as connection:
        connection.request(sending.method, sending.path, sending.body, headers)
        with connection.getresponse() as response:
            return response.status, response.read()


def try_some(
    served: RealtimeServer, log: StatementLog, make: Make, check: Callable[[int, bytes], None], *, turn: int
) -> None:
    """Send a part of the corpus, each text on a connection of its own, and look at every answer and statement."""
    with log.watched() as sent:
        for hostile in CORPUS[turn % SHARE :: SHARE]:
            sending = make(hostile)
            status, body = send(served, sending)
            assert status < 500, (sending, status, body)
            check(status, body)
    assert not [each.text for each in sent if MARK in each.text]
    assert send(served, Sending("GET", "/readyz"))[0] == 200


def in_json(form: str, hostile: Hostile) -> bytes:
    text = b'"' + hostile.raw + b'"' if hostile.text is None else json.dumps(hostile.text).encode()
    return form.encode().replace(b"@", text)


def as_auth(status: int, body: bytes) -> None:
    if status < 400:
        return
    refused = json.loads(body)
    assert refused["code"] == status, body
    assert isinstance(refused["error_code"], str)
    assert isinstance(refused["msg"], str)


@pytest.mark.parametrize("name", AUTH_BODIES)
def test_bodies_of_accounts(served: RealtimeServer, log: StatementLog, name: str) -> None:
    method, path, form = AUTH_BODIES[name]
    try_some(
        served,
        log,
        lambda each: Sending(method, f"/auth/v1/{path}", {}, in_json(form, each)),
        as_auth,
        turn=list(AUTH_BODIES).index(name),
    )


@pytest.mark.parametrize("name", AUTH_PATHS)
def test_urls_of_accounts(served: RealtimeServer, log: StatementLog, name: str) -> None:
    method, form = AUTH_PATHS[name]

    def make(hostile: Hostile) -> Sending:
        path = form.replace("@", quote_from_bytes(hostile.raw, safe=""))
        return Sending(method, f"/auth/v1/{path}", {}, None if method == "GET" else b'{"email": "a@example.org"}')

    try_some(served, log, make, as_auth, turn=list(AUTH_PATHS).index(name))


@pytest.mark.parametrize("path", WHOLE)
@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'""', DEEP, b"x" * 1_000_000, b"\xff", b'{"email":' + DEEP + b"}"]
)
def test_whole_bodies_of_accounts(served: RealtimeServer, path: str, body: bytes) -> None:
    status, answer = send(served, Sending("POST", f"/auth/v1/{path}", {}, body))
    assert status < 500
    as_auth(status, answer)


@pytest.mark.parametrize("header", ["authorization", "apikey", "user-agent", "x-forwarded-for", "content-type"])
def test_headers_of_accounts(served: RealtimeServer, log: StatementLog, header: str) -> None:
    def make(hostile: Hostile) -> Sending:
        raw = bytes(byte for byte in hostile.raw if byte >= 0x20 and byte != 0x7F)
        return Sending("POST", "/auth/v1/signup", {header: raw}, b"{}")

    try_some(served, log, make, as_auth, turn=len(header))


def test_what_is_said_of_an_account_stands_beside_the_statement(served: RealtimeServer, log: StatementLog) -> None:
    body = b'{"email": "%s@example.org", "password": "wrong"}' % MARK.encode()
    with log.watched() as sent:
        status, _ = send(served, Sending("POST", "/auth/v1/token?grant_type=password", {}, body))
    assert status == 400
    assert any(MARK in each.parameters for each in sent)
    assert not any(MARK in each.text for each in sent)


# --- broadcasts ----------------------------------------------------------------------------------------------

BATCHES: Final = {
    "topic": '{"messages": [{"topic": @, "event": "e", "payload": {}}]}',
    "private topic": '{"messages": [{"topic": @, "event": "e", "payload": {}, "private": true}]}',
    "event": '{"messages": [{"topic": "t", "event": @, "payload": {@: @}}]}',
    "payload": '{"messages": [{"topic": "t", "event": "e", "payload": @}]}',
    "flag": '{"messages": [{"topic": "t", "event": "e", "payload": {}, "private": @, "id": @}]}',
    "key": '{"messages": [{@: 1}]}',
    "message": '{"messages": [@]}',
    "messages": '{"messages": @}',
    "outer key": "{@: []}",
    "whole": "@",
}
SINGLES: Final = {
    "topic": "t@/events/e",
    "event": "t/events/e@",
    "private topic": "t@/events/e?private=true",
    "kept topic": "t@/events/e?private=true&persist=true",
    "private": "t/events/e?private=@",
    "persist": "t/events/e?private=true&persist=@",
    "ttl": "t/events/e?private=true&persist[ttl]=@",
    "any parameter": "t/events/e?@",
}


def as_broadcast(status: int, body: bytes) -> None:
    assert not body or status == 404 or isinstance(json.loads(body), dict), body


@pytest.mark.parametrize("name", BATCHES)
def test_batches_of_broadcasts(served: RealtimeServer, log: StatementLog, name: str) -> None:
    form = BATCHES[name]
    try_some(
        served,
        log,
        lambda each: Sending("POST", "/realtime/v1/api/broadcast", {}, in_json(form, each)),
        as_broadcast,
        turn=list(BATCHES).index(name),
    )


@pytest.mark.parametrize("name", SINGLES)
def test_single_broadcasts(served: RealtimeServer, log: StatementLog, name: str) -> None:
    def make(hostile: Hostile) -> Sending:
        path = SINGLES[name].replace("@", quote_from_bytes(hostile.raw, safe=""))
        return Sending("POST", f"/api/broadcast/{path}", {}, b'{"a": 1}')

    try_some(served, log, make, as_broadcast, turn=list(SINGLES).index(name))


@pytest.mark.parametrize(
    "body", [b"", DEEP, b'{"messages":' + DEEP + b"}", b'{"messages":[' + DEEP + b"]}", b"x" * 6_000_000]
)
@pytest.mark.parametrize("path", ["/api/broadcast", "/api/broadcast/t/events/e"])
def test_whole_bodies_of_broadcasts(served: RealtimeServer, path: str, body: bytes) -> None:
    status, answer = send(served, Sending("POST", path, {}, body))
    assert status < 500
    as_broadcast(status, answer)
