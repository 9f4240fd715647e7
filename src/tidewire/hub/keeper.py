"""Has broadcasts stored that their senders want kept: in the order in which they were sent, in batches, within bounds.

It sends nothing: whoever gives it a broadcast sends that at once, and learns later what came of the storing.
"""

import asyncio
import uuid
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog
from msgspec import Struct, structs

from tidewire.hub.replays import Origin, Replays
from tidewire.hub.tasks import Tasks
from tidewire.model.errors import PostgresError, TidewireError
from tidewire.ports import Keeping, KeptBroadcast, KeptBroadcasts
from tidewire.wire.message import UserBroadcast
from tidewire.wire.requests import Persist

log = structlog.get_logger()

MOST_WAITING: Final = 1000
MOST_WAITING_BYTES: Final = 16 * 1024 * 1024
"""How much of all clients together may wait for the database; what is over it is refused before anybody hears it."""
BATCH: Final = 100
BATCH_BYTES: Final = 1024 * 1024
"""How much is stored in one transaction; one broadcast may be larger by itself."""

Done = Callable[[str | None], None]
"""Told the id under which a broadcast is kept, or None when it is not."""

_encode = msgspec.json.Encoder().encode


class _Sent(Struct, frozen=True):
    keeping: Keeping
    origin: Origin
    done: Done

    @property
    def size(self) -> int:
        return len(self.keeping.broadcast.body)


class Keeper:
    """One per node. Ask whether it `is_full` before a broadcast is sent."""

    def __init__(self, source: KeptBroadcasts, replays: Replays, counts: Counter[str], tasks: Tasks) -> None:
        self._source = source
        self._replays = replays
        self._counts = counts
        self._tasks = tasks
        self._waiting: deque[_Sent] = deque()
        self._waiting_bytes = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be taken now."""
        return len(self._waiting) >= MOST_WAITING or self._waiting_bytes >= MOST_WAITING_BYTES

    def keep(self, subtopic: str, sent: UserBroadcast, persist: Persist, done: Done) -> UserBroadcast:
        """Have a private broadcast stored, and return it as it must now be sent, at once: with the id that it gets."""
        id_ = str(uuid.uuid4())
        named = structs.replace(sent, meta=_encode({"id": id_}))
        kept = KeptBroadcast(id_, sent.event, sent.payload, sent.binary)
        origin = self._replays.take_sent(subtopic, id_, named)
        one = _Sent(Keeping(subtopic, kept, persist.ttl_s), origin, done)
        self._waiting.append(one)
        self._waiting_bytes += one.size
        if self._idle.is_set():
            self._idle.clear()
            self._tasks.start(self._store(), name="keep broadcasts")
        return named

    async def finish(self) -> None:
        """Wait until all that was sent so far is stored, or is known not to be."""
        await self._idle.wait()

    async def _store(self) -> None:
        """Store what waits until nothing does: one batch after the other, for replays come in their order."""
        try:
            while self._waiting:
                await self._store_batch(self._take_batch())
        finally:
            self._idle.set()

    def _take_batch(self) -> list[_Sent]:
        batch: list[_Sent] = []
        size = 0
        while self._waiting and len(batch) < BATCH and (not batch or size + self._waiting[0].size <= BATCH_BYTES):
            batch.append(one := self._waiting.popleft())
            size += one.size
        self._waiting_bytes -= size
        return batch

    async def _store_batch(self, batch: Sequence[_Sent]) -> None:
        try:
            xid = await self._source.keep([one.keeping for one in batch])
        except TidewireError as error:
            # The others of the tree are about the database, whatever is stored.
            if len(batch) > 1 and type(error) is PostgresError:
                for one in batch:
                    await self._store_batch([one])
                return
            log.warning(
                "broadcasts_not_kept", number=len(batch), code=error.code, reason=error.message, hint=error.hint
            )
        except Exception:
            log.exception("broadcasts_not_kept", number=len(batch))
        else:
            self._counts["broadcasts_kept"] += len(batch)
            for one in batch:
                one.origin.xid = xid
                one.done(one.keeping.broadcast.id)
            return
        self._counts["broadcasts_not_kept"] += len(batch)
        for one in batch:
            one.origin.is_lost = True
            one.done(None)
