"""Clients that misbehave, each in its own way, and the documented end that each must meet. Nobody else may notice."""

import json
import select
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

from tests.support.server import SocketClient, token
from tests.support.soak_server import SoakServer
from tests.support.tokens import OTHER_SECRET, encode, sign
from tests.support.websocket import BINARY, CONT, TEXT, RawClient, frame, upgrade_request

LIMIT_S = 20.0
STORM = 10_000
FLOOD_BYTES, FLOOD_MESSAGES = 30_000, 60
"""Together more than all buffers between the server and a client that does not read."""

TRICKLES = 10
TRICKLE_S = 0.05

DROPPED: Sequence[tuple[int, bytes]] = (
    (TEXT, b"this is no JSON"),
    (TEXT, b'["1","2","realtime:trouble"]'),
    (TEXT, b'{"topic":{},"event":[],"payload":1,"ref":{}}'),
    (TEXT, b"[" * 10_000),
    (BINARY, b""),
    (BINARY, b"\x03\xff\xff\xff\xff\xff\x01short"),
    (BINARY, b"\x09\x00\x00\x00\x00"),
    (TEXT, b'["1","2","realtime:trouble","no such event",{}]'),
)
"""Messages that are ignored or refused, and cost their sender nothing."""

FATAL: Sequence[tuple[bytes, int]] = (
    (frame(TEXT, b"\xff\xfe"), 1007),
    (frame(TEXT, b"{}", mask=None), 1002),
    (frame(TEXT, b"{}", reserved=0x40), 1002),
    (frame(CONT, b"{}"), 1002),
    (b"\x82\xff" + (2**40).to_bytes(8, "big") + bytes(4), 1009),
    (b"\x81\xff" + (6_000_000).to_bytes(8, "big") + bytes(4), 1009),
)
"""What ends a connection, and the code it ends with."""


def send_garbage(server: SoakServer) -> None:
    """Send what nobody can read; the connection must still answer."""
    with server.connect() as client:
        for opcode, data in DROPPED:
            client.send(opcode, data)
        ref = client.push("phoenix", "heartbeat", {}, join_ref=None)
        while client.receive("phx_reply")["ref"] != ref:
            pass


def break_frames(server: SoakServer) -> None:
    """Break the rules of WebSocket, among them by announcing more than may come."""
    for data, code in FATAL:
        with server.connect() as client:
            client.raw.send(data)
            assert client.closed() == code, data[:10]


def fall_silent(server: SoakServer) -> None:
    """Join and never speak again; break off in the middle of a frame; hang up one way only."""
    with server.connect() as silent, server.connect() as broken_off, server.connect() as half_closed:
        silent.join("realtime:trouble")
        broken_off.raw.send(frame(TEXT, b"x" * 1000)[:500])
        half_closed.raw.socket.shutdown(socket.SHUT_WR)
        assert half_closed.raw.read_all() == b""
        assert silent.closed() == 1000
        assert broken_off.closed() == 1000


def read_nothing(server: SoakServer) -> None:
    """Listen to a topic with much traffic and do not read; somebody who does read must get everything."""
    with server.connect() as sender, server.connect() as reader, ExitStack() as stack:
        raw = _deaf(server)
        stack.callback(raw.socket.close)
        slow_before = server.sample().figures["connections_slow_total"]
        for each in (sender, reader):
            each.join("realtime:flood", broadcast={"ack": False})
        body = json.dumps("x" * FLOOD_BYTES).encode()
        for _ in range(FLOOD_MESSAGES):
            sender.broadcast("realtime:flood", "flood", body, binary=False)
            reader.receive("broadcast")
        deadline_s = time.monotonic() + LIMIT_S
        while server.sample().figures["connections_slow_total"] == slow_before:
            assert time.monotonic() < deadline_s, "the slow reader was kept"
            sender.broadcast("realtime:flood", "flood", body, binary=False)
            reader.receive("broadcast")


def join_all_at_once(server: SoakServer) -> None:
    """Send ten thousand joins without waiting for an answer; before the last of them the connection must end."""
    storm = b"".join(
        frame(TEXT, json.dumps(["1", str(number), f"realtime:storm-{number}", "phx_join", {"config": {}}]).encode())
        for number in range(STORM)
    )
    with server.connect() as client:
        assert _answers(client.raw.socket, storm) < STORM


def show_bad_tokens(server: SoakServer) -> None:
    """Knock with tokens that are no good."""
    none = ".".join((encode(b'{"alg":"none","typ":"JWT"}'), token().split(".")[1], ""))
    bad = (
        sign(role="anon", exp=int(time.time()) - 10),
        sign(signer=OTHER_SECRET, role="service_role", exp=4_000_000_000),
        none,
        "not.a.token",
        "%00" * 1000,
        "a\r\nx-injected: 1",
    )
    for each in bad:
        with RawClient(server.port) as raw:
            raw.send(upgrade_request(server.target(each)))
            status = raw.read_until(b"\r\n").split()[1]
            assert status == b"401", (status, each)


def trickle(server: SoakServer) -> None:
    """Send requests one character at a time, or nothing at all; nobody waits for ever for the end of them."""
    request = upgrade_request(server.target())
    with ExitStack() as stack:
        mute, *slow = (stack.enter_context(RawClient(server.port)) for _ in range(TRICKLES))
        deadline_s = time.monotonic() + LIMIT_S
        sent = 0
        while slow:
            assert time.monotonic() < deadline_s, "slow requests are waited for"
            slow = [each for each in slow if _is_patient(each.socket, request[sent : sent + 1])]
            sent += 1
        assert mute.read_all().startswith(b"HTTP/1.1 408 ")


TROUBLE: Sequence[Callable[[SoakServer], None]] = (
    send_garbage,
    break_frames,
    fall_silent,
    read_nothing,
    join_all_at_once,
    show_bad_tokens,
)
"""All but the trickle, which takes longer than the rest together."""


def _deaf(server: SoakServer) -> RawClient:
    """Join with a small buffer, and stop reading."""
    client = SocketClient(server.port, server.target(), version=2)
    client.raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.join("realtime:flood")
    return client.raw


def _answers(peer: socket.socket, data: bytes) -> int:
    """Send everything while taking answers, so that neither side waits for the other; count them up to the end."""
    peer.setblocking(False)
    view, deadline_s, answers = memoryview(data), time.monotonic() + LIMIT_S, 0
    with suppress(ConnectionError):  # hanging up on somebody who still sends resets the connection
        while True:
            assert time.monotonic() < deadline_s, f"still open after {answers} answers"
            readable, writable, _ = select.select([peer], [peer] if view else [], [], 1)
            if writable:
                view = view[peer.send(view) :]
            if readable:
                heard = peer.recv(65536)
                if not heard:
                    break
                answers += heard.count(b"phx_reply")
    return answers


def _is_patient(peer: socket.socket, data: bytes) -> bool:
    """Send the next character after a pause, and say whether the other side still waits for more."""
    peer.settimeout(TRICKLE_S)
    try:
        peer.send(data)
        peer.recv(1000)
    except TimeoutError:
        return True
    except ConnectionError:
        return False
    return False
