"""The WebSocket endpoint, the same behind our own protocol class and behind one of uvicorn's."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.postgres import fresh_migrated_database
from tests.support.server import WEBSOCKET_CLASSES, RealtimeServer, SocketClient, realtime, serving_app, token
from tests.support.tokens import OTHER_SECRET, sign
from tests.support.waiting import wait_until
from tests.support.websocket import TEXT, RawClient, upgrade_request
from tidewire import assemble
from tidewire.postgres.embedded import EmbeddedPostgres
from tidewire.server.lazy_app import LazyApp
from tidewire.settings import Settings

ROOM = "realtime:room"


@pytest.fixture(scope="module")
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    with fresh_migrated_database(server) as made:
        yield made


@pytest.fixture(scope="module", params=list(WEBSOCKET_CLASSES))
def served(request: pytest.FixtureRequest, dsn: str) -> Iterator[RealtimeServer]:
    with realtime(dsn, path=request.param) as running:
        yield running


def connections(server: RealtimeServer) -> int:
    text = server.get("/metrics").body.decode()
    (line,) = [line for line in text.splitlines() if line.startswith("tidewire_connections ")]
    return int(float(line.split()[1]))


def shake_hands(port: int, target: str, **headers: bytes) -> tuple[int, bytes]:
    """Return the status and body of what must not become a WebSocket."""
    with RawClient(port) as client:
        client.send(upgrade_request(target, **headers))
        answer = client.read_until(b"\r\n\r\n")
        status = int(answer.split()[1])
        if status == 101:
            return status, b""
        try:
            while True:
                client.unread += client.receive()
        except EOFError:
            return status, client.unread


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("", 401, b"API key is missing"),
        ("apikey=", 401, b"API key is missing"),
        ("apikey=nonsense", 401, b"The token provided is not a valid JWT"),
        (f"apikey={token(exp=1)}", 401, b'"Token has expired"'),
        (f"apikey={token(exp=...)}", 401, b"Fields `role` and `exp` are required in JWT"),
        (f"apikey={sign(signer=OTHER_SECRET)}", 401, b"Failed to validate JWT signature"),
        ("apikey=sb_secret_" + "x" * 30, 401, b"The token provided is not a valid JWT"),
        (f"apikey={token()}&vsn=3.0.0", 403, b"vsn"),
        (f"apikey={token()}&vsn=2.1.0", 403, b"vsn"),
        (f"apikey={token()}&vsn=2.0.x", 403, b"vsn"),
        (f"apikey={token()}&session=guessable", 400, b"session"),
        (f"apikey={token()}&session={'x' * 129}", 400, b"session"),
        (f"apikey={token()}&session=sixteen%20characters", 400, b"session"),
        ("&".join(f"p{n}=1" for n in range(101)), 400, b"query"),
        ("apikey=%ff%fe", 401, b"The token provided is not a valid JWT"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_a_handshake_is_refused_with_status_and_words(
    served: RealtimeServer, query: str, status: int, said: bytes
) -> None:
    found, body = shake_hands(served.port, f"/socket/websocket?{query}")
    assert found == status
    assert said in body
    assert b'{"error":' in body


@pytest.mark.parametrize("path", ["/", "/socket", "/socket/websocket/", "/realtime/v1/socket"])
def test_there_is_no_websocket_elsewhere(served: RealtimeServer, path: str) -> None:
    assert shake_hands(served.port, f"{path}?apikey={token()}")[0] == 403


def test_a_key_in_the_header_wins(served: RealtimeServer) -> None:
    good, bad = token(), token(exp=1)
    assert shake_hands(served.port, f"/socket/websocket?apikey={bad}", x_api_key=good.encode())[0] == 101
    assert shake_hands(served.port, f"/socket/websocket?apikey={good}", x_api_key=bad.encode())[0] == 401


@pytest.mark.parametrize(
    ("vsn", "version"), [("", 1), ("&vsn=1.0.0", 1), ("&vsn=1.0.7", 1), ("&vsn=2.0.0", 2), ("&vsn=2.0.12", 2)]
)
def test_the_version_is_chosen_by_the_query(served: RealtimeServer, vsn: str, version: int) -> None:
    target = f"/socket/websocket?apikey={token()}{vsn}&log_level=error&x=%22"
    with SocketClient(served.port, target, version=version) as client:
        client.push("phoenix", "heartbeat", {}, join_ref=None)
        reply = client.receive()
    assert (reply["topic"], reply["event"], reply["ref"]) == ("phoenix", "phx_reply", "1")
    assert reply["payload"] == {"status": "ok", "response": {}}


def test_versions_understand_each_other(served: RealtimeServer) -> None:
    with served.connect(vsn="1.0.0") as one, served.connect() as two, served.connect(path="/socket/websocket") as third:
        for client in (one, two, third):
            assert client.join(ROOM) == {"postgres_changes": []}
        one.push(ROOM, "broadcast", {"type": "broadcast", "event": "text", "payload": {"n": 1}, "extra": [1.50]})
        for client in (two, third):
            assert client.receive()["payload"] == {
                "type": "broadcast", "event": "text", "payload": {"n": 1}, "extra": [1.5],
            }  # fmt: skip
        two.broadcast(ROOM, "json", b'{"n": 2}', binary=False)
        for client in (one, third):
            assert client.receive()["payload"] == {"type": "broadcast", "event": "json", "payload": {"n": 2}}
        two.broadcast(ROOM, "bytes", b"\x00\xff", binary=True)
        two.broadcast(ROOM, "after", b"{}", binary=False)
        assert third.receive()["payload"]["payload"] == b"\x00\xff"
        assert one.receive()["payload"]["event"] == "after"  # what is binary is not told in version 1


def test_presence_is_told_and_ends_with_the_socket(served: RealtimeServer) -> None:
    on = {"enabled": True, "key": "ada"}
    with served.connect() as watching, served.connect(vsn="1.0.0") as ada:
        watching.join("realtime:there", presence={"enabled": True, "key": "bob"})
        assert watching.receive("presence_state")["payload"] == {}
        ada.join("realtime:there", presence=on)
        ada.push("realtime:there", "presence", {"type": "presence", "event": "track", "payload": {"mood": "fine"}})
        joined = watching.receive("presence_diff")["payload"]
        assert joined["leaves"] == {}
        assert joined["joins"]["ada"]["metas"][0]["mood"] == "fine"
        ada.raw.socket.close()  # without a word
        assert list(watching.receive("presence_diff")["payload"]["leaves"]) == ["ada"]


def test_garbage_is_dropped_and_disturbs_nobody(served: RealtimeServer) -> None:
    with served.connect() as client:
        client.join(ROOM)
        for frame in (b"{", b"[1,2]", b"null", b'["1","2","realtime:room",{},{}]', b"[" * 10_000):
            client.send(TEXT, frame)
        client.send(2, b"\x03\xff\xff\xff\xff\xff\x01")
        client.push("phoenix", "heartbeat", {}, join_ref=None)
        assert client.receive()["topic"] == "phoenix"


@pytest.mark.parametrize("topic", ['realtime:a"},{"event":"x', "realtime:\r\nSet-Cookie: a=b", "realtime:\u2028\x00'"])
def test_a_topic_is_only_a_name(served: RealtimeServer, topic: str) -> None:
    with served.connect() as first, served.connect(vsn="1.0.0") as second:
        first.join(topic)
        second.join(topic)
        first.push(topic, "broadcast", {"type": "broadcast", "event": "\r\n", "payload": {}})
        message = second.receive()
    assert (message["topic"], message["payload"]["event"]) == (topic, "\r\n")


def test_a_client_that_vanishes_is_forgotten(served: RealtimeServer) -> None:
    wait_until(lambda: connections(served) == 0)
    clients = [served.connect() for _ in range(5)]
    assert connections(served) == 5
    for client in clients:
        client.raw.socket.close()
    wait_until(lambda: connections(served) == 0)


@pytest.mark.parametrize("path", list(WEBSOCKET_CLASSES))
def test_a_full_server_says_so(dsn: str, path: str) -> None:
    with realtime(dsn, path=path, slot=f"full_{path}", max_connections=1) as served, served.connect() as client:
        client.join(ROOM)
        status, body = shake_hands(served.port, f"/socket/websocket?apikey={token()}")
        assert (status, body) == (429, b'{"error":"Too many connected users"}')


@pytest.mark.parametrize("path", list(WEBSOCKET_CLASSES))
def test_a_silent_client_is_closed(dsn: str, path: str) -> None:
    with realtime(dsn, path=path, slot=f"silent_{path}", idle_s=0.2) as served, served.connect() as client:
        assert client.goodbye() == (1000, "idle")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("path", list(WEBSOCKET_CLASSES))
def test_a_client_that_does_not_read_is_sent_away_and_slows_nobody(dsn: str, path: str) -> None:
    limits: dict[str, Any] = {"outbox_bytes": 100_000, "events_per_s_per_connection": 1e6}
    with (
        realtime(dsn, path=path, slot=f"slow_{path}", **limits) as served,
        served.connect() as sender,
        served.connect() as slow,
        served.connect() as quick,
    ):
        for client in (sender, slow, quick):
            client.join(ROOM)
        body = b'{"text":"%b"}' % (b"x" * 60_000)

        def is_closed() -> bool:
            for _ in range(20):
                sender.broadcast(ROOM, "much", body, binary=False)
                assert quick.receive()["payload"]["event"] == "much"
            return b"tidewire_connections_slow_total 1.0" in served.get("/metrics").body

        wait_until(is_closed, limit_s=40)
        wait_until(lambda: connections(served) == 2, limit_s=15)
        sender.broadcast(ROOM, "last", b"{}", binary=False)
        assert quick.receive()["payload"]["event"] == "last"


def test_a_message_that_is_too_large_ends_its_connection(dsn: str) -> None:
    """Our own protocol class refuses it by the frame's head; this is the other way."""
    limits: dict[str, Any] = {"message_limit_bytes": 10_000, "slot": "large"}
    with realtime(dsn, path="asgi", **limits) as served, served.connect() as client:
        client.send(TEXT, b"x" * 10_001)
        assert client.closed() == 1009


def test_a_refusal_waits(dsn: str) -> None:
    with realtime(dsn, slot="waits", refusal_delay_s=0.3) as served:
        began_s = time.monotonic()
        assert shake_hands(served.port, "/socket/websocket")[0] == 401
        assert time.monotonic() - began_s >= 0.3


def test_a_server_that_cannot_pass_words_on_refuses_all_the_same(dsn: str) -> None:
    settings = Settings(jwt_secret="x" * 32, refusal_delay_s=0.0, slot="wordless")
    app = LazyApp(lambda: assemble.running_app(settings, dsn))

    async def without_extensions(scope: dict[str, Any], *rest: Any) -> None:
        await app({name: value for name, value in scope.items() if name != "extensions"}, *rest)

    with serving_app(without_extensions) as served:
        assert shake_hands(served.port, "/socket/websocket")[0] == 403
