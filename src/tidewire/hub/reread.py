"""After a start: what Postgres has kept of the time before goes onto the bus once more, for those who come back.

It is dispatched to nobody: whoever joins hears of it only by a position. News pass by meanwhile.
"""

import asyncio
import random
from contextlib import aclosing
from itertools import count
from typing import Final, Protocol

import structlog

from tidewire.hub.history import History
from tidewire.model.errors import TidewireError
from tidewire.model.position import Lsn
from tidewire.ports import PAST, Bus, ChangeSource
from tidewire.wal.backoff import backoff_s
from tidewire.wal.envelope import Era, encode
from tidewire.wal.uptime import Uptimes

log = structlog.get_logger()

MOST_ATTEMPTS: Final = 12
"""Half a minute: a database that was killed as well is back by then. Whoever comes meanwhile is told to come again."""


class PastSource(ChangeSource, Protocol):
    """A source that begins where the durable slot stands and changes nothing about it."""

    @property
    def began_at(self) -> Lsn:
        """What was committed at this position or behind it was handed out."""
        ...


async def reread(source: PastSource, bus: Bus, history: History, uptimes: Uptimes) -> None:
    """Read until the news begin. Where that fails for good, those who come back are told to load again."""
    reading = _Reading(source, bus, history, uptimes)
    for attempt in count():
        try:
            await reading.go_on()
        except TidewireError as error:
            log.warning("past_unreadable", reason=error.message, hint=error.hint, attempt=attempt)
            if not error.retryable or attempt == MOST_ATTEMPTS - 1:
                history.complete(None)
                return
        else:
            history.complete(source.began_at)
            return
        await asyncio.sleep(backoff_s(attempt, random.random()))  # noqa: S311 - spreads load


class _Reading:
    """How far the past has been read. What a new attempt brings again is left out."""

    def __init__(self, source: PastSource, bus: Bus, history: History, uptimes: Uptimes) -> None:
        self._source = source
        self._bus = bus
        self._history = history
        self._uptimes = uptimes
        self._sequences = count(1)
        self._last = ""

    async def go_on(self) -> None:
        source, history = self._source, self._history
        async with aclosing(source.transactions()) as transactions:
            async for transaction in transactions:
                if transaction.commit_lsn >= history.news_from or source.epoch != history.epoch:
                    return
                key = Era(1, source.epoch).key(transaction)
                if key > self._last:
                    await self._bus.publish(PAST, encode(transaction), key=key)
                    history.mark_past(key, next(self._sequences))
                    self._uptimes.note(transaction)
                    self._last = key
