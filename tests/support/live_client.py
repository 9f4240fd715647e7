"""What a client says and hears, whatever carries it: one contract for every transport that the server offers."""

import json
import struct
from abc import ABC, abstractmethod
from typing import Any, Final, Self

from tests.support.messages import user_broadcast

KIND_4_HEAD: Final = struct.Struct(">BBBBB")

Wire = dict[str, Any]
"""A message with topic, event, payload, ref and join_ref, as far as its version has them."""


class LiveClient(ABC):
    """A blocking client of either version. A transport says how frames go out and come in, and how it ends."""

    version: int
    refs: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.vanish()

    @abstractmethod
    def send_text(self, data: bytes) -> None: ...

    @abstractmethod
    def send_binary(self, data: bytes) -> None: ...

    @abstractmethod
    def read(self) -> Wire:
        """Return the next message; EOFError when the server has ended it."""

    @abstractmethod
    def vanish(self) -> None:
        """Break the connection without a word."""

    @abstractmethod
    def wait_for_end(self) -> None:
        """Read until the server has ended it, in its transport's own way, which must tell the client to come back."""

    def push(self, topic: str, event: str, payload: object, *, join_ref: str | None = "1") -> str:
        """Send a message and return its ref."""
        self.refs += 1
        ref = str(self.refs)
        if self.version == 1:
            fields = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": join_ref}
            self.send_text(json.dumps(fields).encode())
        else:
            self.send_text(json.dumps([join_ref, ref, topic, event, payload]).encode())
        return ref

    def broadcast(self, topic: str, event: str, body: bytes, *, binary: bool, meta: bytes = b"") -> str:
        """Send a broadcast as version 2 does, in a binary frame, and return its ref."""
        self.refs += 1
        ref = str(self.refs)
        self.send_binary(user_broadcast(topic, event, body, binary=binary, meta=meta, ref=ref))
        return ref

    def join(self, topic: str, **config: Any) -> Wire:
        """Join, and return the response, which must be positive."""
        ref = self.push(topic, "phx_join", {"config": {"presence": {"enabled": False}, **config}})
        reply = self.receive("phx_reply")
        assert (reply["ref"], reply["payload"]["status"]) == (ref, "ok"), reply
        response: Wire = reply["payload"]["response"]
        return response

    def receive(self, *events: str) -> Wire:
        """Return the next message of one of these events, or the very next one; a close is an error."""
        while True:
            message = self.read()
            if not events or message["event"] in events:
                return message


def read_text(data: bytes | str) -> Wire:
    """Read a text frame of either version."""
    message = json.loads(data)
    if isinstance(message, dict):
        return message
    return dict(zip(("join_ref", "ref", "topic", "event", "payload"), message, strict=True))


def read_kind_4(data: bytes) -> Wire:
    """Read a broadcast in a binary frame."""
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
