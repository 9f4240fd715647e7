"""Readers on a bad network: each comes back with the position of the last change of each table, and notes all it hears.

Whatever goes wrong on a line ends it, and the reader makes another one.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final

from tests.support.chaos_history import Owed, user
from tests.support.chaos_lines import Dial, Line, LineBroken, Message
from tests.support.tokens import sign
from tidewire.model.position import StreamPosition, parse_position

TOPIC: Final = "realtime:chaos"
PATIENCE_S: Final = 4.0
"""A line on which nothing comes for so long is dead."""
BEAT_S: Final = 1.0
LONGEST_PAUSE_S: Final = 0.5
TOKEN_S: Final = (8, 20)
"""How long tokens are valid: between so many seconds."""


class Told(Owed, frozen=True):
    """A change that somebody was told, and where it lies."""

    position: StreamPosition


class Follower:
    """Reads some tables as one user. `run` it, `stop` it, and look at what it was told."""

    def __init__(self, number: int, tables: Sequence[str], dial: Dial, port: int, dice: Random) -> None:
        self.number = number
        self.tables = tables
        self.told: list[Told] = []
        self.lines = 0
        self.resumed = 0
        self.gaps: list[str] = []
        """Why the server could not continue where this one stood."""
        self.endings: Counter[str] = Counter()
        self._dial = dial
        self._port = port
        self._dice = dice
        self._after: dict[str, str] = {}
        self._expires_s = 0.0
        self._renews = dice.random() < 0.5
        self._stopping = False
        self._line: Line | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it knows where it stands, so that nothing that commits from now on may be missing."""
        return bool(self._after)

    async def run(self) -> None:
        while not self._stopping:
            try:
                await self._follow()
            except (OSError, LineBroken, TimeoutError) as error:
                self.endings[str(error) if isinstance(error, LineBroken) else type(error).__name__] += 1
            finally:
                if self._line is not None:
                    with suppress(OSError, LineBroken):
                        await self._line.close()
                    self._line = None
            await asyncio.sleep(self._dice.random() * LONGEST_PAUSE_S)

    def stop(self) -> None:
        """Read on until the line ends or the next beat, and make no other one."""
        self._stopping = True

    def found(self, expected: Sequence[Owed]) -> Counter[str]:
        """Compare what was told with what was owed."""
        tally = Counter(told=len(self.told), gaps=len(self.gaps))
        told = Counter(Owed(each.table, each.operation, each.id, each.version) for each in self.told)
        wanted = Counter(expected)
        tally["lost"] = (wanted - told).total()
        tally["leaked"] = sum(1 for each in told if each not in wanted)
        tally["repeated"] = sum(times - 1 for times in told.values())
        last: dict[str, StreamPosition] = {}
        newest: dict[tuple[str, int], int] = {}
        for each in self.told:
            before, version = last.get(each.table), newest.get((each.table, each.id), 0)
            behind = before is not None and not each.position.follows(before)
            tally["out_of_order"] += behind or (each.version is not None and each.version < version)
            last[each.table] = each.position
            newest[each.table, each.id] = each.version or version
        return tally

    async def _follow(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            self._line = line = await self._dial(self._port, self._token())
            self.lines += 1
            await line.send(["1", "1", TOPIC, "phx_join", {"config": {"postgres_changes": self._wishes()}}])
        beating = asyncio.ensure_future(self._beat(line))  # noqa: TID251 - awaited below
        try:
            while not (self._stopping and beating.done()):
                async with asyncio.timeout(PATIENCE_S):
                    for message in await line.receive():
                        self._hear(message)
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError, OSError, LineBroken):
                await beating

    async def _beat(self, line: Line) -> None:
        """Show signs of life, and a new token in time if this is one that does."""
        while not self._stopping:
            await asyncio.sleep(BEAT_S)
            await line.send([None, "9", "phoenix", "heartbeat", {}])
            if self._renews and self._expires_s - time.time() < 2 * BEAT_S:
                await line.send(["1", "8", TOPIC, "access_token", {"access_token": self._token()}])

    def _token(self) -> str:
        self._expires_s = int(time.time()) + self._dice.randint(*TOKEN_S)
        return sign(role="authenticated", sub=user(self.number), exp=self._expires_s, iat=...)

    def _wishes(self) -> list[dict[str, str]]:
        return [
            {"event": "*", "schema": "public", "table": table}
            | ({"after": self._after[table]} if table in self._after else {})
            for table in self.tables
        ]

    def _hear(self, message: Message) -> None:
        _, ref, topic, event, payload = message
        if topic == TOPIC and event == "phx_reply" and ref == "1":
            self._hear_reply(payload)
        elif event == "postgres_changes":
            self._note(payload["data"])
        elif event in {"phx_close", "phx_error"} and topic == TOPIC:
            raise LineBroken(event)

    def _hear_reply(self, payload: Mapping[str, Any]) -> None:
        response = payload["response"]
        if payload["status"] != "ok":
            raise LineBroken(f"refused: {str(response.get('reason'))[:80]}")
        if self._after and not response["recovered"]:
            self.gaps.append(response.get("reason", ""))
        self.resumed += bool(self._after)
        for table in self.tables:
            self._after.setdefault(table, response["position"])

    def _note(self, data: Mapping[str, Any]) -> None:
        kind, position = data["type"], data["position"]
        row = data["old_record"] if kind == "DELETE" else data["record"]
        version = None if kind == "DELETE" else row["version"]
        self.told.append(Told(data["table"], kind, row["id"], version, parse_position(position)))
        self._after[data["table"]] = position
