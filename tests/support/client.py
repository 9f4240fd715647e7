"""A client of a node without a network: frames of version 2 in, everything that the node sends out."""

import json
from typing import Any

from tests.support.messages import user_broadcast
from tests.support.tokens import sign
from tidewire.hub.forms import Form
from tidewire.hub.node import Node
from tidewire.testing.outbox import RecordingOutbox
from tidewire.wire.message import Frame
from tidewire.wire.phoenix_v1 import V1
from tidewire.wire.phoenix_v2 import V2


def raw(frame: Frame) -> Frame:
    return frame


def weigh(frame: Frame) -> tuple[int, int]:
    return 1, len(frame.data)


FORMS = {1: Form(V1(), raw, weigh=weigh), 2: Form(V2(), raw, weigh=weigh)}

Said = tuple[str, str, Any]
"""Event, topic and payload."""


class Client:
    """Joins under ref 1 of the topic's place; `said` is everything in order, `heard` what came since it was asked."""

    def __init__(self, node: Node, *, version: int = 2, token: str | None = None) -> None:
        self.version = version
        self.outbox = RecordingOutbox()
        self.connection = node.connect(self.outbox, FORMS[version], token=token or sign())
        self._read = 0
        self._refs = 0

    def push(self, topic: str, event: str, payload: Any, *, join_ref: str | None = "1") -> str:
        """Send a message; returns its ref."""
        self._refs += 1
        ref = str(self._refs)
        if self.version == 2:
            frame: Any = [join_ref, ref, topic, event, payload]
        else:
            frame = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": join_ref}
        self.connection.on_text(json.dumps(frame).encode())
        return ref

    def broadcast(self, topic: str, event: str, body: bytes, *, binary: bool = False, meta: bytes = b"") -> str:
        """Send a broadcast in a binary frame, as version 2 does; returns its ref."""
        self._refs += 1
        ref = str(self._refs)
        self.connection.on_binary(user_broadcast(topic, event, body, binary=binary, meta=meta, ref=ref))
        return ref

    def join(self, topic: str = "realtime:room", **config: Any) -> str:
        """Ask to join; the answer comes after a turn of the loop."""
        self._refs += 1
        ref = str(self._refs)
        frame: Any = [ref, ref, topic, "phx_join", {"config": config}]
        if self.version == 1:
            frame = {"topic": topic, "event": "phx_join", "payload": {"config": config}, "ref": ref, "join_ref": ref}
        self.connection.on_text(json.dumps(frame).encode())
        return ref

    def heard(self) -> list[Said]:
        """Return what came since the last call."""
        new, self._read = self.outbox.packets[self._read :], len(self.outbox.packets)
        return [self._tell(frame) for frame in new]

    def _tell(self, frame: Frame) -> Said:
        if frame.binary:
            return "binary", "", frame.data
        message = json.loads(frame.data)
        if self.version == 2:
            return message[3], message[2], message[4]
        return message["event"], message["topic"], message["payload"]
