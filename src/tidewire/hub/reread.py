"""After a start: what Postgres has kept of the time before goes onto the bus once more, for those who come back.

It is dispatched to nobody: whoever joins hears of it only by a position. News pass by meanwhile.
"""

from contextlib import aclosing
from itertools import count
from typing import Protocol

import structlog

from tidewire.hub.history import History
from tidewire.model.errors import TidewireError
from tidewire.model.position import Lsn
from tidewire.ports import PAST, Bus, ChangeSource
from tidewire.wal.envelope import Era, encode

log = structlog.get_logger()


class PastSource(ChangeSource, Protocol):
    """A source that begins where the durable slot stands and changes nothing about it."""

    @property
    def began_at(self) -> Lsn:
        """What was committed at this position or behind it was handed out."""
        ...


async def reread(source: PastSource, bus: Bus, history: History) -> None:
    """Read until the news begin. Where that fails, those who come back are told to load again."""
    sequences = count(1)
    last = ""
    try:
        async with aclosing(source.transactions()) as transactions:
            async for transaction in transactions:
                if transaction.commit_lsn >= history.news_from or source.epoch != history.epoch:
                    break
                key = Era(1, source.epoch).key(transaction)
                if key > last:  # otherwise a reconnection repeats it
                    await bus.publish(PAST, encode(transaction), key=key)
                    history.mark_past(key, next(sequences))
                    last = key
    except TidewireError as error:
        log.warning("past_unreadable", reason=error.message, hint=error.hint)
        history.complete(None)
    else:
        history.complete(source.began_at)
