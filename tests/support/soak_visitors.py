"""Clients that behave and come and go: they join, speak, are present, follow rows, leave, and hang up in many ways."""

import random
import socket
import struct

from tests.support.soak_server import SoakServer
from tests.support.websocket import CLOSE, RawClient, close_payload, frame

TOPICS = 5
"""Few, so that visitors meet."""

HANG_UP_HARD = struct.pack("ii", 1, 0)
"""With this as SO_LINGER a close is a reset."""


def visit(server: SoakServer, dice: random.Random) -> None:
    """Come, do a little of everything, and go in one of the ways that there are."""
    with server.connect() as client:
        for number in dice.sample(range(TOPICS), 2):
            topic = f"realtime:visitors-{number}"
            bindings = [
                {"event": "*", "schema": "public", "table": "watched", "filter": f"resident=eq.{dice.randrange(1000)}"},
                {"event": "INSERT", "schema": "public", "table": "watched"},
            ]
            client.join(
                topic,
                broadcast={"ack": True},
                presence={"enabled": True, "key": f"visitor-{dice.randrange(50)}"},
                postgres_changes=bindings[: dice.randrange(3)],
            )
            client.broadcast(topic, "hello", dice.randbytes(dice.randrange(2000)), binary=True)
            asked = {
                client.push(topic, "presence", {"type": "presence", "event": "track", "payload": {"mood": "good"}}),
                client.push(topic, "broadcast", {"type": "broadcast", "event": "hello", "payload": {}}),
            }
            if dice.random() < 0.5:
                asked.add(client.push(topic, "phx_leave", {}))
            while asked:
                asked.discard(client.receive("phx_reply")["ref"])
        _go(client.raw, dice)


def drop_by(server: SoakServer) -> None:
    """Come, join, and be gone without a word."""
    with server.connect() as client:
        client.join("realtime:hall")


def _go(raw: RawClient, dice: random.Random) -> None:
    way = dice.randrange(3)
    if way == 0:
        raw.send(frame(CLOSE, close_payload(1000)))
    elif way == 1:
        raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HANG_UP_HARD)
