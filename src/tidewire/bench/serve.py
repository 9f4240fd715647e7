"""Our side of the fan-out: `tidewire serve` in a process of its own, and the frames of its version 2 clients."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tidewire.bench.client_bytes import BINARY, client_frame, upgrade_request
from tidewire.bench.own_server import UNLIMITED, serve_command, serve_environ
from tidewire.bench.process import free_port, server_process
from tidewire.bench.subject import MESSAGE_BYTES, Dialogue, Running
from tidewire.hub.authorize import sign_token
from tidewire.wire.phoenix_v2 import JSON, USER_BROADCAST_PUSH

EVENT = b"bench"
JOIN_REF, REF = b"1", b"2"
TOKEN_S = 6 * 3600


class Serve:
    """Subscribers are spread evenly over the topics; each topic has a publisher that has joined it as well."""

    name = "ours"

    def __init__(self, *, topics: int = 1, bin_dir: str | None = None) -> None:
        self._topics = [f"realtime:bench-{number}" for number in range(topics)]
        self._bin_dir = bin_dir

    @contextmanager
    def start(self, folder: Path, *, connections: int) -> Iterator[Running]:
        """Run it on its embedded Postgres, as delivered but for the limits, whatever the environment sets."""
        port, secret = free_port(), secrets.token_urlsafe(48)
        environ = serve_environ(
            jwt_secret=secret,
            data_dir=str(folder / "data"),
            max_connections=str(connections + len(self._topics) + 100),
            events_per_s_per_connection=UNLIMITED,
            idle_s=UNLIMITED,  # nobody here sends heartbeats
            **({"postgres_bin": self._bin_dir} if self._bin_dir else {}),
        )
        command = serve_command(port)
        with server_process(command, port=port, folder=folder, environ=environ, ready_path="/readyz") as process:
            yield Running(process, port, self._dialogue(port, secret))

    def _dialogue(self, port: int, secret: str) -> Dialogue:
        token = sign_token({"role": "anon", "exp": int(time.time()) + TOKEN_S}, secret)
        request = upgrade_request(f"/realtime/v1/websocket?apikey={token}&vsn=2.0.0", port)
        joins = [_join(topic) for topic in self._topics]
        return Dialogue(
            request=request,
            join=joins,
            join_replies=1,
            publisher_request=request,
            publisher_join=joins,
            publisher_replies=1,
            publish=[_broadcast(topic.encode()) for topic in self._topics],
        )


def _join(topic: str) -> bytes:
    config = {"broadcast": {"ack": False, "self": False}, "presence": {"enabled": False}, "private": False}
    message = (JOIN_REF.decode(), JOIN_REF.decode(), topic, "phx_join", {"config": config})
    return client_frame(msgspec.json.encode(message))


def _broadcast(topic: bytes) -> bytes:
    """Write what the official client sends for a broadcast, filled up so that what arrives has the agreed size."""
    sizes = (len(JOIN_REF), len(REF), len(topic), len(EVENT), 0)
    head = bytes((USER_BROADCAST_PUSH, *sizes, JSON)) + JOIN_REF + REF + topic + EVENT
    received = 5 + len(topic) + len(EVENT)  # a kind, three lengths, an encoding, and the two strings
    body = b'{"text":"%s"}' % (b"x" * (MESSAGE_BYTES - received - len(b'{"text":""}')))
    return client_frame(head + body, opcode=BINARY)
