"""A node whose database is scripted, and clients that have joined a room of it."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.support.client import Client
from tests.support.tokens import NOW_S
from tidewire.hub.node import Node

ROOM = "realtime:room"


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


Make = Callable[..., Node]


async def settle() -> None:
    """Let everything happen that needs no time to pass."""
    for _ in range(30):
        await asyncio.sleep(0)


async def joined(node: Node, *, version: int = 2, token: str | None = None, topic: str = ROOM, **config: Any) -> Client:
    client = Client(node, version=version, token=token)
    client.join(topic, **{"presence": {"enabled": False}, **config})
    await settle()
    (answer, *_) = client.heard()
    assert answer == ("phx_reply", topic, {"status": "ok", "response": {"postgres_changes": []}})
    return client


def broadcast(number: int) -> dict[str, Any]:
    return {"type": "broadcast", "event": "e", "payload": {"n": number}}


async def until(condition: Callable[[], bool], *, limit_s: float = 10.0) -> None:
    """Let the loop run until the condition holds; fail when it does not within the limit."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - what a node has told can only be asked for again
            await asyncio.sleep(0.001)
