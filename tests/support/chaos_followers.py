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

from tests.support.chaos_history import Journal
from tests.support.chaos_lines import Dial, Line, LineBroken, Message
from tests.support.tokens import sign

TOPIC: Final = "realtime:chaos"
PATIENCE_S: Final = 10.0
"""A line on which nothing comes for so long is dead. Giving up sooner makes a busy machine do it all again."""
BEAT_S: Final = 1.0
PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 4.0
"""Before the next attempt, longer after each that fails: all of them together keep a server from starting."""
LEFT_BEHIND: Final = 0.05
"""The part of lines that are made with a token that has expired."""
EXPIRED: Final = "Token has expired"
NOT_YET: Final = "the server has just started"
"""Why it cannot go on there, until it has read its past again."""
CALM_TOKEN_S: Final = 600
REFUSALS: Final = ("InvalidStatus", "the stream was answered 4", "no session: 4")
"""What lines say of a token that is not good."""


class Follower:
    """Reads some tables. `run` it until it is cancelled, and look at its journal."""

    def __init__(
        self,
        journal: Journal,
        tables: Sequence[str],
        dial: Dial,
        port: int,
        dice: Random,
        *,
        token_s: tuple[int, int],
    ) -> None:
        """Its tokens are valid for a time between those of `token_s`."""
        self.journal = journal
        self.tables = tuple(tables)
        self.is_calm = False
        """Whether its next tokens are good and last."""
        self.done: Counter[str] = Counter()
        self.complaints: list[str] = []
        """Why the server could not continue where this one stood."""
        self.told_of = ""
        """When the change was committed that it was told of last."""
        self._dial = dial
        self._port = port
        self._dice = dice
        self._token_s = token_s
        self._after: dict[str, str] = {}
        self._newest = ""
        self._failures = 0
        self._wished: tuple[str, ...] = ()
        self._expires_s = 0.0
        self._renews = dice.random() < 0.5
        self._line: Line | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it knows where it stands, so that nothing that commits from now on may be missing."""
        return bool(self._newest)

    def expect(self, table: str) -> None:
        """Take note that a table will be made: all of it lies behind the newest place that this one knows now."""
        self._after[table] = self._newest

    def follow(self, table: str) -> None:
        """Follow a table that was expected, and is there now."""
        self.tables = (*self.tables, table)

    async def run(self) -> None:
        while True:
            try:
                await self._follow()
            except (OSError, LineBroken, TimeoutError) as error:
                self._note_end(str(error) if isinstance(error, LineBroken) else type(error).__name__)
            finally:
                if self._line is not None:
                    with suppress(OSError, LineBroken):
                        await self._line.close()
                    self._line = None
            self._failures += 1
            await asyncio.sleep(self._dice.random() * min(LONGEST_PAUSE_S, PAUSE_S * self._failures))

    def _note_end(self, reason: str) -> None:
        self.done["token_expired"] += reason.startswith(EXPIRED)

    async def _follow(self) -> None:
        self.done["connections"] += 1
        self._wished = self.tables
        async with asyncio.timeout(PATIENCE_S):
            self._line = line = await self._open()
            await line.send(["1", "1", TOPIC, "phx_join", {"config": {"postgres_changes": self._wishes()}}])
        beating = asyncio.ensure_future(self._beat(line))  # noqa: TID251 - awaited below
        try:
            while self._wished == self.tables:
                async with asyncio.timeout(PATIENCE_S):
                    for message in await line.receive():
                        self._hear(message)
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError, OSError, LineBroken):
                await beating

    async def _beat(self, line: Line) -> None:
        """Show signs of life, and a new token in time if this is one that does."""
        while True:
            await asyncio.sleep(BEAT_S)
            await line.send([None, "9", "phoenix", "heartbeat", {}])
            if self._renews and self._expires_s - time.time() < 2 * BEAT_S:
                await line.send(["1", "8", TOPIC, "access_token", {"access_token": self._token()}])
                self.done["token_renewed"] += 1

    async def _open(self) -> Line:
        """Make a line with a new token; now and then with one that has expired, which must be refused."""
        if self.is_calm or not self.is_ready or self._dice.random() >= LEFT_BEHIND:
            return await self._dial(self._port, self._token())
        try:
            line = await self._dial(self._port, self._token(valid_s=-1))
        except LineBroken as error:
            self.done["token_refused"] += str(error).startswith(REFUSALS)
            raise
        await line.close()
        self.journal.tally["leaked"] += 1
        raise LineBroken("let in with a token that has expired")

    def _token(self, valid_s: int | None = None) -> str:
        usual_s = CALM_TOKEN_S if self.is_calm else self._dice.randint(*self._token_s)
        self._expires_s = int(time.time()) + (valid_s or usual_s)
        return sign(**self.journal.reader.claims, exp=self._expires_s, iat=...)

    def _wishes(self) -> list[dict[str, str]]:
        return [
            {"event": "*", "schema": "public", "table": table}
            | ({"after": self._after[table]} if table in self._after else {})
            for table in self._wished
        ]

    def _hear(self, message: Message) -> None:
        _, ref, topic, event, payload = message
        if topic == TOPIC and event == "phx_reply" and ref == "1":
            self._hear_reply(payload)
        elif topic == "phoenix" and (position := payload["response"].get("positions", {}).get(TOPIC)):
            self._come_on(position)
        elif event == "postgres_changes":
            self.journal.note(payload["data"])
            self.told_of = payload["data"]["commit_timestamp"]
            self._newest = self._after[payload["data"]["table"]] = payload["data"]["position"]
        elif event == "system" and payload["status"] != "ok":
            raise LineBroken(payload["message"])
        elif event in {"phx_close", "phx_error"} and topic == TOPIC:
            raise LineBroken(event)

    def _come_on(self, position: str) -> None:
        """Begin behind a position in all tables from now on: some may have nothing for this reader, ever."""
        self.done["came_on"] += 1
        self._newest = position
        self._after.update(dict.fromkeys(self._wished, position))

    def _hear_reply(self, payload: Mapping[str, Any]) -> None:
        response = payload["response"]
        if payload["status"] != "ok":
            raise LineBroken(f"refused: {str(response.get('reason'))[:80]}")
        self.journal.begin()
        if self.is_ready and not response["recovered"]:
            reason = response.get("reason", "")
            if reason.startswith(NOT_YET):
                self.done["asked_again"] += 1
                raise LineBroken(reason)
            self.journal.tally["gaps"] += 1
            self.complaints.append(f"reader {self.journal.reader.number}: {reason}, from {self._after}")
            self._after.clear()
        self.done["resumed"] += self.is_ready
        self._failures = 0
        self._newest = self._newest or response["position"]
        for table in self._wished:
            self._after.setdefault(table, response["position"])
