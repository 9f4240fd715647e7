"""Our WebSocket class under uvicorn, on real sockets: any ASGI application, a take-over, and peers that misbehave."""

import gc
import json
import queue
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.certificate import self_signed
from tests.support.waiting import wait_until
from tests.support.websocket import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    RawClient,
    RunningServer,
    close_payload,
    frame,
    serving,
    upgrade_request,
)
from tests.support.websocket_lab import Lab, Watcher
from tidewire.server import websocket_connection
from tidewire.server.websocket_asgi import Conversation
from tidewire.server.websocket_http import HttpProtocol
from tidewire.wire.websocket import encode_frame

PATIENCE_S = 10.0
QUIET_S = 0.5
SAMPLE = "Grüße 水 🌊".encode()
BIG = b"0123456789abcdef" * 65_536
LIMIT_BYTES = 5_000_000


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture(params=["uvloop", "asyncio"])
def server(lab: Lab, request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    with serving(lab, loop=request.param) as running:
        yield running


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def shared(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """For tests that look only at the wire."""
    with serving(Lab(), loop=request.param) as running:
        yield running


def dial(server: RunningServer, path: str, **options: Any) -> ClientConnection:
    client: ClientConnection = connect(f"ws://127.0.0.1:{server.port}{path}", proxy=None, **options)
    return client


def next_taker(lab: Lab) -> Watcher:
    return lab.takers.get(timeout=PATIENCE_S)


def last_of(seen: queue.SimpleQueue[Any]) -> Any:
    """Return the last value when no other has come for a while."""
    value = seen.get(timeout=PATIENCE_S)
    while True:
        try:
            value = seen.get(timeout=QUIET_S)
        except queue.Empty:
            return value


def send_until_stuck(peer: socket.socket, data: memoryview) -> int:
    """Return how many bytes the other side took."""
    peer.settimeout(QUIET_S)
    sent = 0
    try:
        while sent < len(data):
            sent += peer.send(data[sent:])
    except TimeoutError:
        pass
    peer.settimeout(PATIENCE_S)
    return sent


def alive(*kinds: type) -> int:
    return sum(type(each) in kinds for each in gc.get_objects())


# --- what goes over the wire, the same for both ways of being served ----------------------------------------------

GOODBYE = frame(CLOSE, close_payload(1000))
PIECES = [frame(TEXT, SAMPLE[:7], fin=False), frame(CONT, SAMPLE[7:9], fin=False), frame(CONT, SAMPLE[9:])]
EXCHANGES: dict[str, tuple[bytes, list[tuple[int, bytes]], int]] = {
    "text": (frame(TEXT, SAMPLE), [(TEXT, SAMPLE)], 1000),
    "empty": (frame(TEXT) + frame(BINARY), [(TEXT, b""), (BINARY, b"")], 1000),
    "least 16-bit length": (frame(BINARY, BIG[:126]), [(BINARY, BIG[:126])], 1000),
    "largest 16-bit length": (frame(TEXT, BIG[:65_535]), [(TEXT, BIG[:65_535])], 1000),
    "64-bit length": (frame(BINARY, BIG), [(BINARY, BIG)], 1000),
    "ping": (frame(PING, b"are you there"), [(PONG, b"are you there")], 1000),
    "largest ping": (frame(PING, b"x" * 125), [(PONG, b"x" * 125)], 1000),
    "ten pings": (frame(PING, b"x") * 10, [(PONG, b"x")] * 10, 1000),
    "pong nobody asked for": (frame(PONG, b"hm"), [], 1000),
    "pieces": (b"".join(PIECES), [(TEXT, SAMPLE)], 1000),
    "ping between pieces": (PIECES[0] + frame(PING, b"?") + b"".join(PIECES[1:]), [(PONG, b"?"), (TEXT, SAMPLE)], 1000),
    "close without code": (frame(CLOSE), [], 1005),
    "close with an own code": (frame(CLOSE, close_payload(4321, b"enough")), [], 4321),
    "nothing after close": (frame(CLOSE, close_payload(1001)) + frame(TEXT, b"late"), [], 1001),
    "reserved bit": (frame(TEXT, b"b", reserved=0x40), [], 1002),
    "unknown data opcode": (frame(3, b"x"), [], 1002),
    "unknown control opcode": (frame(11), [], 1002),
    "control in pieces": (frame(PING, b"x", fin=False), [], 1002),
    "long control": (frame(PING, b"x" * 126), [], 1002),
    "continuation of nothing": (frame(CONT, b"x"), [], 1002),
    "message inside a message": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), [], 1002),
    "not masked": (frame(TEXT, b"x", mask=None), [], 1002),
    "close with half a code": (frame(CLOSE, b"\x03"), [], 1002),
    "close with a forbidden code": (frame(CLOSE, close_payload(1006)), [], 1002),
    "close with a bad reason": (frame(CLOSE, close_payload(1000, b"\xff")), [], 1007),
    "text that is not UTF-8": (frame(TEXT, b"\xce\xba\xed\xa0\x80"), [], 1007),
    "bad text in an unfinished message": (frame(TEXT, b"ok", fin=False) + frame(CONT, b"\xf5", fin=False), [], 1007),
    "announced too big": (b"\x82\xff" + struct.pack(">Q", LIMIT_BYTES + 1), [], 1009),
}  # fmt: skip


@pytest.mark.parametrize("path", ["/echo", "/taken"])
@pytest.mark.parametrize("name", EXCHANGES)
def test_exchange(shared: RunningServer, path: str, name: str) -> None:
    """Send bytes, and a close with 1000 if all is well: expect these frames, a close with this code, and the end."""
    data, expected, code = EXCHANGES[name]
    with RawClient(shared.port) as client:
        client.upgrade(path)
        client.send(data)
        assert [client.read_frame() for _ in expected] == expected
        if code == 1000:
            client.send(GOODBYE)
        assert client.read_frame()[1][:2] == (b"" if code == 1005 else close_payload(code))
        assert client.read_all() == b""


@pytest.mark.parametrize("path", ["/echo", "/taken"])
def test_the_largest_message_in_small_reads(shared: RunningServer, path: str) -> None:
    payload = (BIG * 5)[:LIMIT_BYTES]
    with dial(shared, path, max_size=None, compression=None) as client:
        client.send(payload)
        assert client.recv(PATIENCE_S) == payload
        client.send(payload + b"!")
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(PATIENCE_S)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


def test_bytes_one_at_a_time(shared: RunningServer) -> None:
    with RawClient(shared.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.upgrade("/taken")
        for byte in frame(TEXT, SAMPLE) + GOODBYE:
            client.send(bytes([byte]))
        assert client.read_frames() == [(TEXT, SAMPLE), (CLOSE, close_payload(1000))]


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_the_same_over_tls(tmp_path: Path, loop: str) -> None:
    """TLS cannot end one direction alone, so a broken rule ends differently there."""
    certificate, key = self_signed(tmp_path)
    trust = ssl.create_default_context(cafile=certificate)
    with serving(Lab(), loop=loop, ssl_certfile=certificate, ssl_keyfile=key) as server:
        for path in ("/echo", "/taken"):
            with RawClient(server.port, trust=trust) as client:
                client.upgrade(path)
                client.send(frame(BINARY, BIG))
                assert client.read_frame() == (BINARY, BIG)
                client.send(frame(3))
                assert client.read_frame()[1][:2] == close_payload(1002)
                assert client.read_all() == b""
        wait_until(lambda: server.open_connections == 0)


# --- the handshake ----------------------------------------------------------------------------------------------------


def test_the_sample_key_of_the_standard(shared: RunningServer) -> None:
    with RawClient(shared.port) as client:
        head = client.upgrade("/echo", sec_websocket_extensions=b"permessage-deflate; client_max_window_bits")
    assert b"\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    assert b"extensions" not in head


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"sec_websocket_key": None}, 400),
        ({"sec_websocket_key": b"c2hvcnQ="}, 400),
        ({"sec_websocket_key": b"dGhlIHNhbXBsZSBub25jZQ"}, 400),
        ({"sec_websocket_key": b"!!!!IHNhbXBsZSBub25jZQ=="}, 400),
        ({"sec_websocket_version": None}, 426),
        ({"sec_websocket_version": b"8"}, 426),
        ({"host": None}, 400),
    ],
)
def test_a_bad_handshake_is_refused_with_words(
    shared: RunningServer, changed: dict[str, bytes | None], status: int
) -> None:
    with RawClient(shared.port) as client:
        client.send(upgrade_request("/echo", **changed))
        head, _, body = client.read_all().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(body)["error"]
    assert b"\r\ncontent-type: application/json" in head
    assert (b"\r\nsec-websocket-version: 13" in head) == (status == 426)


def test_only_get_upgrades(shared: RunningServer) -> None:
    with RawClient(shared.port) as client:
        client.send(upgrade_request("/echo").replace(b"GET", b"PUT", 1))
        assert client.read_all().startswith(b"HTTP/1.1 405 ")


def test_what_the_application_sees_and_says(server: RunningServer, lab: Lab) -> None:
    with dial(server, "/describe?a=%20b", subprotocols=["first", "second"], origin="http://here") as client:
        assert client.subprotocol == "second"
        assert client.response is not None
        assert client.response.headers["x-extra"] == "yes"
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(PATIENCE_S)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "told you")
    scope = lab.seen.get(timeout=PATIENCE_S)
    assert (scope["type"], scope["scheme"]) == ("websocket", "ws")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/describe", b"/describe", b"a=%20b")
    assert scope["subprotocols"] == ["first", "second"]
    assert (b"origin", b"http://here") in scope["headers"]
    assert scope["server"] == ("127.0.0.1", server.port)
    assert scope["client"][0] == "127.0.0.1"


def test_a_close_before_accept_is_403(shared: RunningServer) -> None:
    with pytest.raises(InvalidStatus) as caught, dial(shared, "/forbid"):
        pass
    assert caught.value.response.status_code == 403


def test_an_application_may_answer_with_http(server: RunningServer, lab: Lab) -> None:
    with pytest.raises(InvalidStatus) as caught, dial(server, "/deny"):
        pass
    response = caught.value.response
    assert response.status_code == 429
    assert response.body == b'{"error":"slow"}'
    assert response.headers["content-length"] == str(len(response.body))
    assert lab.seen.get(timeout=PATIENCE_S)["type"] == "websocket.disconnect"


@pytest.mark.parametrize("path", ["/inject", "/fail_early", "/silent"])
def test_an_application_that_fails_before_accept(shared: RunningServer, path: str) -> None:
    with RawClient(shared.port) as client:
        client.send(upgrade_request(path))
        answer = client.read_all()
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"set-cookie" not in answer


@pytest.mark.parametrize(("path", "code"), [("/fail_late", 1011), ("/leave", 1000)])
def test_an_application_that_ends_without_a_close(shared: RunningServer, path: str, code: int) -> None:
    with RawClient(shared.port) as client:
        client.upgrade(path)
        client.send(GOODBYE)
        assert client.read_frames() == [(CLOSE, close_payload(code))]


def test_http_is_served_beside(shared: RunningServer) -> None:
    with RawClient(shared.port) as client:
        for _ in range(2):  # the second one on the same connection
            client.send(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert client.read_until(b"\r\n\r\nok").startswith(b"HTTP/1.1 200 ")


class Impatient(HttpProtocol):
    head_limit_s = 0.3
    head_limit_bytes = 2000


def test_a_request_that_trickles_in_is_cut(lab: Lab) -> None:
    with serving(lab, http=Impatient) as server:
        with RawClient(server.port) as silent, RawClient(server.port) as slow:
            slow.send(upgrade_request()[:-10])
            assert slow.read_all().startswith(b"HTTP/1.1 408 ")
            assert silent.read_all().startswith(b"HTTP/1.1 408 ")
        with RawClient(server.port) as late:
            late.send(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert late.read_until(b"\r\n\r\nok")
            late.send(b"GET")
            assert late.read_all().startswith(b"HTTP/1.1 408 ")
        with RawClient(server.port) as patient:
            patient.upgrade("/taken")
            watcher = next_taker(lab)
            with RawClient(server.port) as after:
                assert after.read_all().startswith(b"HTTP/1.1 408 ")  # the limit has passed for both
            patient.send(frame(TEXT, b"still here") + GOODBYE)
            assert patient.read_frames()[0] == (TEXT, b"still here")
            assert watcher.next() == ("text", b"still here")


@pytest.mark.parametrize("data", [b"x-long: " + b"x" * 4000, b"x: y\r\n" * 700])
def test_headers_without_end_are_cut(lab: Lab, data: bytes) -> None:
    with serving(lab, http=Impatient) as server, RawClient(server.port) as client:
        client.send(b"GET /echo HTTP/1.1\r\n" + data)
        assert client.read_all().startswith(b"HTTP/1.1 431 ")


# --- how connections end --------------------------------------------------------------------------------------------


def test_an_end_without_a_close(server: RunningServer, lab: Lab) -> None:
    with RawClient(server.port) as client:
        client.upgrade("/echo")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_all() == b""
    assert lab.seen.get(timeout=PATIENCE_S)["code"] == 1006
    with RawClient(server.port) as client:
        client.upgrade("/taken")
        watcher = next_taker(lab)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
    assert watcher.next() == ("closed", 1006)
    wait_until(lambda: server.open_connections == 0)


def test_a_peer_that_goes_before_the_answer(server: RunningServer, lab: Lab) -> None:
    with RawClient(server.port) as client:
        client.send(upgrade_request("/thinking"))
        assert lab.seen.get(timeout=PATIENCE_S) == "asked"
    assert lab.seen.get(timeout=PATIENCE_S)["type"] == "websocket.disconnect"
    assert lab.seen.get(timeout=PATIENCE_S) == "gone"
    wait_until(lambda: server.running_tasks == 0)


def test_frames_before_the_answer_are_refused(server: RunningServer, lab: Lab) -> None:
    with RawClient(server.port) as client:
        client.send(upgrade_request("/thinking"))
        assert lab.seen.get(timeout=PATIENCE_S) == "asked"
        client.send(frame(TEXT, b"early"))
        assert client.read_all().startswith(b"HTTP/1.1 400 ")


def test_a_peer_that_never_answers_a_close_is_cut(
    server: RunningServer, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_connection, "CLOSE_LIMIT_S", 0.3)
    with RawClient(server.port) as client:
        client.upgrade("/taken")
        watcher = next_taker(lab)
        watcher.loop.call_soon_threadsafe(watcher.connection.close, 4000, "enough")
        assert client.read_frames() == [(CLOSE, close_payload(4000, b"enough"))]
        assert watcher.next() == ("closed", 4000)
        wait_until(lambda: server.open_connections == 0)


def test_a_peer_that_reads_nothing_is_cut(server: RunningServer, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its unread bytes nor its own end of the stream may keep the socket."""
    monkeypatch.setattr(websocket_connection, "CLOSE_LIMIT_S", 0.3)
    for hang_up in (False, True):
        with RawClient(server.port) as client:
            client.upgrade("/taken")
            watcher = next_taker(lab)
            for _ in range(100):
                watcher.loop.call_soon_threadsafe(watcher.connection.write, encode_frame(BINARY, BIG))
            assert watcher.next() == ("pause", None)
            if hang_up:
                client.socket.shutdown(socket.SHUT_WR)
            else:
                watcher.loop.call_soon_threadsafe(watcher.connection.close, 4000)
            assert watcher.next() == ("closed", 1006 if hang_up else 4000)
            wait_until(lambda: server.open_connections == 0)


def test_stopping_the_server_says_so(lab: Lab) -> None:
    with serving(lab) as server, RawClient(server.port) as plain, RawClient(server.port) as taken:
        plain.upgrade("/echo")
        taken.upgrade("/taken")
        watcher = next_taker(lab)
        server.should_exit = True
        for client in (plain, taken):
            assert client.read_frame() == (CLOSE, close_payload(1012))
            client.send(frame(CLOSE, close_payload(1012)))
            assert client.read_all() == b""
        assert watcher.next() == ("closed", 1012)


# --- pressure ---------------------------------------------------------------------------------------------------------


def test_an_application_waits_for_a_slow_peer(server: RunningServer, lab: Lab) -> None:
    with RawClient(server.port) as client:
        client.upgrade("/flood")
        stuck = last_of(lab.seen)
        for _ in range(stuck + 10):
            assert client.read_frame() == (BINARY, bytes(65_536))
        assert lab.seen.get(timeout=PATIENCE_S) == stuck + 1
    while lab.seen.get(timeout=PATIENCE_S) != "gone":
        pass
    wait_until(lambda: server.running_tasks == 0)


def test_a_peer_waits_for_a_slow_application(server: RunningServer, lab: Lab) -> None:
    total = 60 * len(BIG)
    with RawClient(server.port) as client:
        client.upgrade("/idle")
        data = memoryview(frame(BINARY, BIG) * 60)
        sent = send_until_stuck(client.socket, data)
        assert sent < len(data)
        lab.go_on.set()
        client.socket.sendall(data[sent:])
        while lab.seen.get(timeout=PATIENCE_S) < total:
            pass


def test_pings_of_a_peer_that_reads_nothing_do_not_pile_up(server: RunningServer, lab: Lab) -> None:
    with RawClient(server.port) as client:
        client.upgrade("/taken")
        watcher = next_taker(lab)
        for _ in range(20):
            watcher.loop.call_soon_threadsafe(watcher.connection.write, encode_frame(BINARY, BIG))
        assert watcher.next() == ("pause", None)
        for number in range(1000):
            client.send(frame(PING, b"%d" % number))
        client.send(frame(TEXT, b"seen"))
        assert watcher.next() == ("text", b"seen")
        found = [client.read_frame() for _ in range(22)]
        assert [payload for opcode, payload in found if opcode == PONG] in ([], [b"999"])
        assert (TEXT, b"seen") in found


# --- take-over --------------------------------------------------------------------------------------------------------


def test_a_take_over_leaves_no_task(server: RunningServer, lab: Lab) -> None:
    with dial(server, "/taken") as client:
        watcher = next_taker(lab)
        wait_until(lambda: server.running_tasks == 0)
        client.send("words")
        client.send(b"bytes")
        assert (client.recv(PATIENCE_S), client.recv(PATIENCE_S)) == ("words", b"bytes")
        assert watcher.next() == ("text", b"words")
        assert watcher.next() == ("binary", b"bytes")
        client.close(4444)
    assert watcher.next() == ("closed", 4444)
    wait_until(lambda: server.open_connections == 0)
    assert watcher.told.empty()


def test_a_take_over_frees_all_that_served_the_request(lab: Lab) -> None:
    """Without help of the cycle collector, since servers freeze it: what it would find then stays for ever."""
    with serving(lab) as server:
        gc.collect()
        before = alive(Conversation, HttpProtocol)
        gc.disable()
        try:
            with RawClient(server.port) as client:
                client.upgrade("/taken")
                next_taker(lab)
                wait_until(lambda: alive(Conversation, HttpProtocol) == before)
        finally:
            gc.enable()


def test_a_receiver_that_fails_loses_only_its_connection(server: RunningServer, lab: Lab) -> None:
    with RawClient(server.port) as client, RawClient(server.port) as other:
        client.upgrade("/taken")
        watcher = next_taker(lab)
        other.upgrade("/taken")
        client.send(frame(TEXT, b"fail") + frame(TEXT, b"after") + frame(CLOSE, close_payload(1011)))
        assert client.read_frames() == [(CLOSE, close_payload(1011))]
        assert watcher.next() == ("closed", 1011)
        other.send(frame(TEXT, b"fine"))
        assert other.read_frame() == (TEXT, b"fine")


def test_what_arrived_before_the_take_over_is_not_lost(server: RunningServer, lab: Lab) -> None:
    with RawClient(server.port) as client:
        client.upgrade("/taken_late")
        client.send(frame(TEXT, b"1") + frame(BINARY, BIG) + frame(BINARY, b"2") + GOODBYE)
        client.send(b"")
        lab.go_on.set()
        watcher = next_taker(lab)
        assert [watcher.next() for _ in range(4)] == [
            ("text", b"1"), ("binary", BIG), ("binary", b"2"), ("closed", 1000),
        ]  # fmt: skip
        assert "taken over" in lab.seen.get(timeout=PATIENCE_S)


def test_frames_of_one_turn_arrive_in_order_and_before_the_close(server: RunningServer, lab: Lab) -> None:
    frames = [encode_frame(TEXT, b"%d" % number) for number in range(500)]
    with RawClient(server.port) as client:
        client.upgrade("/taken")
        watcher = next_taker(lab)

        def burst() -> None:
            for each in frames:
                watcher.connection.write(each)
            collected = sum(map(len, frames[1:]))  # the first went straight to the transport
            assert collected <= watcher.connection.buffered_bytes <= collected + len(frames[0])
            watcher.connection.close(1000)
            watcher.connection.write(frames[0])

        watcher.loop.call_soon_threadsafe(burst)
        *texts, close = client.read_frames_until_close()
        assert texts == [(TEXT, b"%d" % number) for number in range(500)]
        assert close == (CLOSE, close_payload(1000))


def test_bursts_over_several_turns_and_connections(server: RunningServer, lab: Lab) -> None:
    """More connections than one turn flushes, written to in every turn: each reader sees every number in order."""
    count, rounds = 150, 40
    clients = [RawClient(server.port) for _ in range(count)]
    try:
        for client in clients:
            client.upgrade("/taken")
        watchers = [next_taker(lab) for _ in clients]
        loop = watchers[0].loop

        def turn(number: int) -> None:
            for each in watchers:
                for part in range(3):
                    each.connection.write(encode_frame(TEXT, b"%d" % (number * 3 + part)))
            if number + 1 < rounds:
                loop.call_soon(turn, number + 1)

        loop.call_soon_threadsafe(turn, 0)
        for client in clients:
            assert [client.read_frame() for _ in range(rounds * 3)] == [(TEXT, b"%d" % n) for n in range(rounds * 3)]
        for each in watchers:  # quiet again, a single frame goes out as before
            loop.call_soon_threadsafe(each.connection.write, encode_frame(TEXT, b"last"))
        assert {client.read_frame() for client in clients} == {(TEXT, b"last")}
    finally:
        for client in clients:
            client.socket.close()


def test_what_the_socket_does_not_take_at_once_keeps_its_place(server: RunningServer, lab: Lab) -> None:
    """Large and small frames, in one turn and in several: what waits in the transport is never overtaken."""
    sizes = [10, 3_000_000, 10, 700_000, 10, 10, 2_000_000, 10]
    texts = [b"%d" % number + b"x" * size for number, size in enumerate(sizes)]
    with RawClient(server.port) as client:
        client.upgrade("/taken")
        watcher = next_taker(lab)

        def write(number: int) -> None:
            watcher.connection.write(encode_frame(TEXT, texts[number % len(texts)]))
            if number % 3 == 1:
                write(number + 1)  # in the same turn
            elif number + 1 < 2 * len(texts):
                watcher.loop.call_soon(write, number + 1)

        watcher.loop.call_soon_threadsafe(write, 0)
        for text in texts * 2:
            assert client.read_frame() == (TEXT, text)
