"""POST /api/broadcast in all its forms: what arrives where, and what is answered."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.postgres import fresh_migrated_database
from tests.support.server import RealtimeServer, realtime, request, token
from tidewire.postgres.embedded import EmbeddedPostgres

BATCH = "/api/broadcast"
ROOM = "realtime:room"
MESSAGE = {"topic": "room", "event": "ping", "payload": {"n": 1}}
BLANK, INVALID = ["can't be blank"], ["is invalid"]


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        yield made


@pytest.fixture(scope="module")
def served(dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, payload_bytes=1000, message_limit_bytes=20_000) as running:
        yield running


def bearer(role: str = "anon", **claims: Any) -> str:
    return f"Bearer {token(role, **claims)}"


@pytest.mark.parametrize("prefix", ["", "/realtime/v1"])
@pytest.mark.parametrize("vsn", ["1.0.0", "2.0.0"])
def test_a_batch_reaches_everybody_as_text(served: RealtimeServer, prefix: str, vsn: str) -> None:
    with served.connect(vsn=vsn) as client:
        client.join(ROOM)
        messages = [MESSAGE, {**MESSAGE, "id": "7b0c", "event": "pong", "private": "false"}]
        query = "?apikey=ignored&vsn=2.0.0"
        answer = served.post(f"{prefix}{BATCH}{query}", {"messages": messages}, authorization=bearer())
        assert (answer.status, answer.body) == (202, b"")
        first, second = client.receive(), client.receive()
    assert (first["topic"], first["event"], first["ref"]) == (ROOM, "broadcast", None)
    assert first["payload"] == {"event": "ping", "payload": {"n": 1}, "type": "broadcast"}
    assert second["payload"] == {"event": "pong", "payload": {"n": 1}, "type": "broadcast", "meta": {"id": "7b0c"}}


def test_the_key_may_stand_in_either_header(served: RealtimeServer) -> None:
    body = {"messages": [MESSAGE]}
    assert served.post(BATCH, body, apikey=token()).status == 202
    assert served.post(BATCH, body, apikey=token(exp=1), authorization=bearer()).status == 202
    assert served.post(BATCH, body, apikey=token(), authorization=bearer(exp=1)).status == 401


@pytest.mark.parametrize("headers", [{}, {"apikey": "x"}, {"authorization": "Basic eA=="}, {"authorization": "Bearer"}])
@pytest.mark.parametrize("path", [BATCH, f"{BATCH}/room/events/ping"])
def test_strangers_are_refused(served: RealtimeServer, path: str, headers: dict[str, str]) -> None:
    answer = served.post(path, {"messages": [MESSAGE]}, **headers)
    assert (answer.status, answer.json) == (401, {"message": "Unauthorized"})


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"messages": BLANK}),
        ({"messages": None}, {"messages": BLANK}),
        ({"messages": {"topic": "room"}}, {"messages": INVALID}),
        ({"messages": [{}]}, {"messages": [{"topic": BLANK, "event": BLANK, "payload": BLANK}]}),
        ({"messages": [MESSAGE, {**MESSAGE, "topic": ""}]}, {"messages": [{}, {"topic": BLANK}]}),
        ({"messages": [{**MESSAGE, "event": 5}]}, {"messages": [{"event": INVALID}]}),
        ({"messages": [{**MESSAGE, "payload": [1]}]}, {"messages": [{"payload": INVALID}]}),
        ({"messages": ["text"]}, {"messages": [{"message": INVALID}]}),
        (
            {"messages": [{**MESSAGE, "payload": {"a": "x" * 1000}}]},
            {"messages": [{"payload": ["Payload size exceeds tenant limit"]}]},
        ),
        ({"messages": [{**MESSAGE, "topic": "x" * 250}]}, {"messages": [{"topic": ["should be at most 246 byte(s)"]}]}),
    ],
    ids=str,
)
def test_a_batch_with_a_mistake_is_refused_as_a_whole(served: RealtimeServer, body: object, errors: object) -> None:
    with served.connect() as client:
        client.join(ROOM)
        answer = served.post(BATCH, body, authorization=bearer())
        assert (answer.status, answer.json) == (422, {"errors": errors})
        served.post(BATCH, {"messages": [{**MESSAGE, "event": "next"}]}, authorization=bearer())
        assert client.receive()["payload"]["event"] == "next"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 5000, b'{"messages":' + b"[" * 5000])
def test_what_is_no_json_object_is_refused(served: RealtimeServer, body: bytes) -> None:
    assert served.post(BATCH, body, authorization=bearer()).status in {400, 422}


def test_an_empty_batch_is_accepted(served: RealtimeServer) -> None:
    assert served.post(BATCH, {"messages": []}, authorization=bearer()).status == 202


def test_private_messages_of_others_are_left_out_without_a_word(served: RealtimeServer) -> None:
    private = {**MESSAGE, "event": "private", "private": True}
    with (
        served.connect(apikey=token("service_role")) as insider,
        served.connect() as public,
    ):
        insider.join(ROOM, private=True)
        public.join(ROOM)
        assert served.post(BATCH, {"messages": [private, MESSAGE]}, authorization=bearer()).status == 202
        assert public.receive()["payload"]["event"] == "ping"
        private_too = {"messages": [{**private, "event": "allowed"}]}
        assert served.post(BATCH, private_too, authorization=bearer("service_role")).status == 202
        assert insider.receive()["payload"]["event"] == "allowed"


@pytest.mark.parametrize("prefix", ["", "/realtime/v1"])
def test_a_single_message_is_passed_on_byte_by_byte(served: RealtimeServer, prefix: str) -> None:
    path = f"{prefix}{BATCH}/a%2Fb%20c/events/on%2Foff"
    with served.connect() as two, served.connect(vsn="1.0.0") as one:
        for client in (one, two):
            client.join("realtime:a/b c")
        for body, kind in (
            (b"\x00\xff", "application/octet-stream"),
            (b'{"n": 1.50}', "application/json; charset=utf-8"),
        ):
            answer = served.post(path, body, authorization=bearer(), content_type=kind)
            assert (answer.status, answer.body) == (202, b"")
        assert two.receive()["payload"] == {"type": "broadcast", "event": "on/off", "payload": b"\x00\xff"}
        assert two.receive()["payload"]["payload"] == {"n": 1.5}
        assert one.receive()["payload"] == {"type": "broadcast", "event": "on/off", "payload": {"n": 1.5}}


def test_a_single_private_message_needs_the_right_to_write(served: RealtimeServer) -> None:
    path = f"{BATCH}/room/events/ping?private=true"
    answer = served.post(path, {}, authorization=bearer())
    assert (answer.status, answer.json) == (403, {"message": "Unauthorized"})
    with served.connect(apikey=token("service_role")) as insider:
        insider.join(ROOM, private=True)
        assert served.post(path, {"n": 2}, authorization=bearer("service_role")).status == 202
        assert insider.receive()["payload"]["payload"] == {"n": 2}


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("room/events/ping", b"x", "text/plain", 415),
        ("room/events/ping", b"{}", "", 415),
        ("room/events/ping", b"{", "application/json", 400),
        ("room/events/ping", b"", "application/json", 400),
        ("room/events/ping", b"x" * 1001, "application/octet-stream", 422),
        ("room/events/ping", b"x" * 20_001, "application/octet-stream", 413),
        (f"{'x' * 300}/events/ping", b"{}", "application/json", 422),
        ("/events/ping", b"{}", "application/json", 422),
        ("room/events/", b"{}", "application/json", 422),
        ("%ff/events/ping", b"{}", "application/json", 400),
        ("room/events/ping", b"", "application/octet-stream", 202),
        ("r%0d%0aX-A:%20b/events/%00", b"{}", "application/json", 404),
    ],
)
def test_a_single_message_with_a_mistake(
    served: RealtimeServer, path: str, body: bytes, kind: str, status: int
) -> None:
    answer = served.post(f"{BATCH}/{path}", body, authorization=bearer(), content_type=kind)
    assert answer.status == status, answer
    assert "X-A" not in answer.headers


def test_a_body_is_not_read_beyond_its_limit(served: RealtimeServer) -> None:
    """Neither when its length is announced, nor when it comes in chunks without end."""
    head = f"POST {BATCH} HTTP/1.1\r\nhost: x\r\nauthorization: {bearer()}\r\n"
    for announcement, chunk in (
        ("content-length: 900000000\r\n\r\n", b""),
        ("transfer-encoding: chunked\r\n\r\n", b"2000\r\n" + b"x" * 0x2000 + b"\r\n"),
    ):
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
            client.sendall((head + announcement).encode() + chunk * 3)
            assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_browsers_may_call_it(served: RealtimeServer) -> None:
    asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
    asked["access-control-request-headers"] = "authorization,apikey,content-type"
    for path in (BATCH, f"{BATCH}/room/events/ping"):
        answer = request("OPTIONS", served.url + path, headers=asked)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "*")
        assert "apikey" in answer.headers["access-control-allow-headers"]
        assert request("OPTIONS", served.url + path).status == 204
    refused = served.post(BATCH, {}, origin="https://app.example")
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, "*")


def test_production_names_the_origins(dsn: str) -> None:
    production: dict[str, Any] = {"mode": "production", "slot": "origins", "cors_origins": ("https://app.example",)}
    with realtime(dsn, **production) as served:
        answer = served.post(BATCH, {"messages": []}, origin="https://app.example", authorization=bearer())
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        answer = served.post(BATCH, {"messages": []}, origin="https://other.example", authorization=bearer())
        assert "access-control-allow-origin" not in answer.headers


def test_there_is_a_limit_for_all_together(dsn: str) -> None:
    with realtime(dsn, slot="rates", events_per_s=1.0) as served:
        answer = served.post(BATCH, {"messages": [MESSAGE] * 1001}, authorization=bearer())
        assert (answer.status, "reduce the batch size" in answer.json["message"]) == (429, True)
        answer = served.post(BATCH, {"messages": [MESSAGE] * 60}, authorization=bearer())
        assert (answer.status, answer.json) == (429, {"message": "You have exceeded your rate limit"})


def test_only_post_is_answered(served: RealtimeServer) -> None:
    assert served.get(BATCH).status == 405
