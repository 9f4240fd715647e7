"""The realtime server in a thread, behind our own WebSocket class or one of uvicorn's, and a client that speaks to it.

Everything is real: the database, the sockets, the node. Only its start is shorter than that of `tidewire serve`.
"""

import json
import struct
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final, Self
from urllib.error import HTTPError
from urllib.parse import urlencode

from msgspec import Struct

from tests.support.messages import user_broadcast
from tests.support.tokens import SECRET, sign
from tests.support.waiting import wait_until
from tests.support.websocket import BINARY, CLOSE, LIMIT_S, TEXT, RawClient, RunningServer, frame, serving_as
from tidewire import assemble
from tidewire.postgres.connection import connect
from tidewire.postgres.migrate import apply, find_pending
from tidewire.postgres.migration_files import read_migrations
from tidewire.server.lazy_app import LazyApp
from tidewire.server.websocket import Protocol
from tidewire.settings import Settings

WEBSOCKET_CLASSES: Final[Mapping[str, Any]] = {"direct": Protocol, "asgi": "websockets-sansio"}
"""Ours, which hands connections over, and one of uvicorn's own, behind which everything goes through ASGI."""

FAR_S: Final = 4_000_000_000
"""A time at which no test runs any more."""

KIND_4_HEAD: Final = struct.Struct(">BBBBB")


def token(role: str = "anon", **claims: Any) -> str:
    """Mint a token that the server of these tests accepts."""
    return sign(role=role, **{"exp": FAR_S, "iat": ..., "sub": ..., **claims})


def migrate(dsn: str) -> None:
    with closing(connect(dsn)) as connection:
        apply(connection, find_pending(connection, read_migrations()))


class Answer(Struct, frozen=True):
    """What an HTTP request was answered with."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RealtimeServer(RunningServer):
    """A server that is asked over HTTP and WebSocket."""

    prefix: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    def get(self, path: str, **headers: str) -> Answer:
        return request("GET", self.url + path, headers=headers)

    def post(self, path: str, body: bytes | object = b"", **headers: str) -> Answer:
        """Send bytes as they are, and anything else as JSON; `_` in a header's name stands for `-`."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return request("POST", self.url + path, data, headers={"content_type": "application/json", **headers})

    def connect(
        self, *, vsn: str = "2.0.0", path: str = "/realtime/v1/websocket", apikey: str | None = None, **query: str
    ) -> "SocketClient":
        target = f"{self.prefix}{path}?{urlencode({'apikey': apikey or token(), 'vsn': vsn, **query})}"
        return SocketClient(self.port, target, version=int(vsn[0]))


def request(method: str, url: str, data: bytes | None = None, *, headers: Mapping[str, str] | None = None) -> Answer:
    asked = urllib.request.Request(  # noqa: S310 - loopback
        url, data, {name.replace("_", "-"): value for name, value in (headers or {}).items()}, method=method
    )
    try:
        with urllib.request.urlopen(asked, timeout=LIMIT_S) as response:  # noqa: S310 - loopback
            return Answer(response.status, dict(response.headers), response.read())
    except HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read())


class SocketClient:
    """A blocking client of either version. Messages are dicts with topic, event, payload, ref and join_ref."""

    def __init__(self, port: int, target: str, *, version: int) -> None:
        self.raw = RawClient(port)
        self.version = version
        self.refs = 0
        self.raw.upgrade(target)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.raw.__exit__()

    def send(self, opcode: int, payload: bytes) -> None:
        self.raw.send(frame(opcode, payload))

    def push(self, topic: str, event: str, payload: object, *, join_ref: str | None = "1") -> str:
        """Send a message and return its ref."""
        self.refs += 1
        ref = str(self.refs)
        if self.version == 1:
            fields = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": join_ref}
            self.send(TEXT, json.dumps(fields).encode())
        else:
            self.send(TEXT, json.dumps([join_ref, ref, topic, event, payload]).encode())
        return ref

    def broadcast(self, topic: str, event: str, body: bytes, *, binary: bool, meta: bytes = b"") -> str:
        """Send a broadcast as version 2 does, in a binary frame, and return its ref."""
        self.refs += 1
        ref = str(self.refs)
        self.send(BINARY, user_broadcast(topic, event, body, binary=binary, meta=meta, ref=ref))
        return ref

    def join(self, topic: str, **config: Any) -> dict[str, Any]:
        """Join, and return the response, which must be positive."""
        ref = self.push(topic, "phx_join", {"config": {"presence": {"enabled": False}, **config}})
        reply = self.receive("phx_reply")
        assert (reply["ref"], reply["payload"]["status"]) == (ref, "ok"), reply
        response: dict[str, Any] = reply["payload"]["response"]
        return response

    def receive(self, *events: str) -> dict[str, Any]:
        """Return the next message of one of these events, or the very next one; a close is an error."""
        while True:
            message = self._read()
            if not events or message["event"] in events:
                return message

    def closed(self) -> int:
        """Read until the server closes, and return its code."""
        code, _ = self.goodbye()
        return code

    def goodbye(self) -> tuple[int, str]:
        opcode, data = self.raw.read_frames_until_close()[-1]
        assert opcode == CLOSE
        return int.from_bytes(data[:2], "big"), data[2:].decode()

    def _read(self) -> dict[str, Any]:
        opcode, data = self.raw.read_frame()
        assert opcode in {TEXT, BINARY}, (opcode, data)
        if opcode == BINARY:
            return _read_kind_4(data)
        message = json.loads(data)
        if isinstance(message, dict):
            return message
        return dict(zip(("join_ref", "ref", "topic", "event", "payload"), message, strict=True))


def _read_kind_4(data: bytes) -> dict[str, Any]:
    kind, topic, event, meta, encoding = KIND_4_HEAD.unpack_from(data)
    assert kind == 4
    texts, at = [], KIND_4_HEAD.size
    for size in (topic, event, meta):
        texts.append(data[at : at + size].decode())
        at += size
    body = json.loads(data[at:]) if encoding else data[at:]
    payload = {"type": "broadcast", "event": texts[1], "payload": body}
    if texts[2]:
        payload["meta"] = json.loads(texts[2])
    return {"topic": texts[0], "event": "broadcast", "payload": payload, "ref": None, "join_ref": None}


@contextmanager
def realtime(dsn: str, *, path: str = "direct", ready: bool = True, **changed: Any) -> Iterator[RealtimeServer]:
    """Serve a database that `migrate` has prepared, until the block ends."""
    settings = Settings(**{"jwt_secret": SECRET, "refusal_delay_s": 0.0, **changed})
    with serving_app(LazyApp(lambda: assemble.running_app(settings, dsn)), path=path) as server:
        wait_until(lambda: not ready or server.get("/readyz").status == 200)
        yield server


@contextmanager
def serving_app(app: Callable[..., Any], *, path: str = "direct", **options: Any) -> Iterator[RealtimeServer]:
    """Run an application with its lifespan; at the end every thread and socket is gone."""
    with serving_as(RealtimeServer, app, ws=WEBSOCKET_CLASSES[path], **{"lifespan": "on", **options}) as server:
        yield server
