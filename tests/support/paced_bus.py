"""A bus whose followers get on at the pace that a test permits. What is asked of its past is answered at once."""

import asyncio
from collections.abc import Sequence
from typing import Any

from tidewire.bus.memory import MemoryBus, MemorySubscription
from tidewire.ports import Envelope


class PacedBus(MemoryBus):
    """Gives what is followed away one by one, as it is permitted."""

    def __init__(self, *, history_bytes: int) -> None:
        super().__init__(clock=lambda: 0.0, history_bytes=history_bytes)
        self.permits = asyncio.Semaphore(0)
        self.taken = 0

    async def subscribe(self, topics: Sequence[str], *, after: int | None = None) -> Any:
        return PacedSubscription(await super().subscribe(topics, after=after), self)


class PacedSubscription:
    def __init__(self, subscription: MemorySubscription, bus: PacedBus) -> None:
        self._subscription = subscription
        self._bus = bus

    def __aiter__(self) -> "PacedSubscription":
        return self

    async def __anext__(self) -> Envelope:
        await self._bus.permits.acquire()
        envelope = await anext(self._subscription)
        self._bus.taken += 1
        return envelope

    def close(self) -> None:
        self._subscription.close()
