"""Readers with PyPI's `realtime`, as it is, each with its own session. They print what they are told, line by line.

The argument is a JSON document: `url`, `key`, `secret`, `token_s` and `readers` with `number`, `claims` and `tables`.
The client shows its users neither positions nor the reply to a join, but it logs all it receives.
"""

import ast
import asyncio
import json
import logging
import random
import sys
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import jwt
from realtime import AsyncRealtimeChannel, AsyncRealtimeClient

RECEIVED = "receive: "
BACKOFF_S = 0.1
TRIES = 1000
EARLY_S, LATE_S = 1.5, 2.0
"""Half of them renew their tokens before they expire, the others after that, when their channels have been closed."""


def tell(**message: Any) -> None:
    print(json.dumps(message), flush=True)  # noqa: T201 - these lines are the program's answer


class Received(logging.Handler):
    """The frame that is being dealt with, from the client's own log: from there to the callback nothing is awaited."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.payload: Mapping[str, Any] = {}

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not text.startswith(RECEIVED):
            return
        message = json.loads(ast.literal_eval(text.removeprefix(RECEIVED)))
        self.payload = message["payload"]
        response = self.payload.get("response") if message["event"] == "phx_reply" else None
        if isinstance(response, dict) and "position" in response:
            number = int(message["topic"].rpartition("-")[2])
            tell(reader=number, joined={**response, "at_s": time.monotonic()})


class Reader:
    """One client with one channel; `run` it. The server ends the channel with its token, and then there is another."""

    def __init__(self, wanted: Mapping[str, Any], reader: Mapping[str, Any], received: Received) -> None:
        self._number: int = reader["number"]
        self._claims = reader["claims"]
        self._tables = reader["tables"]
        self._secret = wanted["secret"]
        self._token_s = wanted["token_s"]
        self._renews_s = LATE_S if self._number % 2 else -EARLY_S
        self._received = received
        self._closed = asyncio.Event()
        self._client = AsyncRealtimeClient(
            wanted["url"],
            wanted["key"],
            params={"session": str(uuid4())},
            hb_interval=15,
            initial_backoff=BACKOFF_S,
            max_retries=TRIES,
        )

    async def run(self) -> None:
        joined = False
        while True:
            valid_s = random.randint(*self._token_s)  # noqa: S311 - no secret
            token = jwt.encode({**self._claims, "exp": int(time.time()) + valid_s}, self._secret, "HS256")
            await self._client.set_auth(token)
            if joined:
                tell(reader=self._number, renewed=True)
            else:
                await self._subscribe()
                joined = True
            try:
                async with asyncio.timeout(valid_s + self._renews_s):
                    await self._closed.wait()
            except TimeoutError:
                continue
            tell(reader=self._number, expired=True)
            self._closed.clear()
            joined = False

    async def _subscribe(self) -> None:
        channel: AsyncRealtimeChannel = self._client.channel(f"chaos-{self._number}")
        for table in self._tables:
            channel.on_postgres_changes("*", schema="public", table=table, callback=self._hear)
        await channel.subscribe(lambda status, _error: self._closed.set() if status.value == "CLOSED" else None)

    def _hear(self, payload: Mapping[str, Any]) -> None:
        data = payload["data"]
        told = {name: data.get(name) for name in ("table", "type", "record", "old_record")}
        tell(reader=self._number, data={**told, "position": self._received.payload["data"]["position"]})


async def main(wanted: Mapping[str, Any]) -> None:
    received = Received()
    log = logging.getLogger("realtime._async.client")
    log.setLevel(logging.DEBUG)
    log.propagate = False
    log.addHandler(received)
    await asyncio.gather(*(Reader(wanted, reader, received).run() for reader in wanted["readers"]))


asyncio.run(main(json.loads(sys.argv[1])))
