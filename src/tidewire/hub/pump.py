"""The loop on every node begins here: envelopes from the bus become transactions again. It matches nothing yet."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final

from tidewire.model.change import Resync, Transaction
from tidewire.ports import CHANGES, Bus, Envelope
from tidewire.wal.envelope import decode

TURN_BYTES: Final = 256 * 1024
"""Decoding this much takes about a millisecond; then everyone else on the loop has a turn."""


async def transactions(
    bus: Bus, *, after: int | None = None, mark: Callable[[Envelope, Transaction | Resync], None] | None = None
) -> AsyncGenerator[Transaction | Resync, None]:
    """Follow the stream from now, or from just after a sequence of `CHANGES`; close the generator when you stop.

    `mark` is given each message, and what is in it, before that is yielded.

    The subscription begins with the first step of the iteration. On a Resync forget what you know and load again. A
    part that follows a reconnection may repeat events: drop those whose (LSN, index) is not beyond the last one. Raises
    SubscriberLagged when this reader was too slow or `after` is too old.
    """
    subscription = await bus.subscribe((CHANGES,), after=after)
    decoded_bytes = 0
    try:
        async for envelope in subscription:
            item = decode(envelope.payload)
            if mark is not None:
                mark(envelope, item)
            yield item
            decoded_bytes += len(envelope.payload)
            if decoded_bytes >= TURN_BYTES:
                decoded_bytes = 0
                await asyncio.sleep(0)  # a long backlog never waits by itself
    finally:
        subscription.close()
