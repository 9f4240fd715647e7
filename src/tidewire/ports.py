"""The contracts between the floors. Each fits on a screen and has one shared conformance suite that every implementation passes."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from msgspec import Struct

from tidewire.model.change import Transaction
from tidewire.model.position import Lsn


class ChangeSource(Protocol):
    """Committed transactions in commit order; whoever iterates must confirm each once it is safe."""

    @property
    def epoch(self) -> str:
        """Name of the unbroken history that positions belong to; known once `transactions()` has started."""
        ...

    def transactions(self) -> AsyncIterator[Transaction]:
        """Yield parts in order, at least once, never with a gap. Raises SlotLost when that cannot be kept."""
        ...

    def confirm(self, lsn: Lsn) -> None:
        """Allow Postgres to forget everything up to `lsn`. Call it only after the transaction is held elsewhere."""
        ...


class Envelope(Struct, frozen=True, gc=False):
    """One message on the bus. `sequence` grows by one per topic; `key` is the sender's own increasing mark, or empty."""

    topic: str
    sequence: int
    key: str
    payload: bytes


class Bus(Protocol):
    """Ordered topics with a bounded past.

    A `key` that is not greater (as text) than the topic's last key is a repeat and is ignored, so a publisher that
    restarts may simply publish again.
    """

    async def publish(self, topic: str, payload: bytes, *, key: str = "") -> None:
        """Return once the bus holds the message. Waits for slow subscribers, but not for ever: those are cut off."""
        ...

    def subscribe(self, topics: Sequence[str], *, after: int | None = None) -> "Subscription":
        """Follow topics from now, or from just after sequence `after` (one topic) while the past still holds it."""
        ...

    async def history(self, topic: str, *, after: int = 0, limit: int = 1000) -> Sequence[Envelope]:
        """Return kept messages with a sequence greater than `after`, oldest first. Raises SubscriberLagged if some are gone."""
        ...

    async def last_key(self, topic: str) -> str:
        """Return the key of the topic's newest message, or an empty text."""
        ...

    async def close(self) -> None:
        """End every subscription."""
        ...


class Subscription(Protocol):
    """A place in some topics. Iterate it, and close it when done."""

    def __aiter__(self) -> AsyncIterator[Envelope]:
        """Yield messages in order. Raises SubscriberLagged when this subscriber was cut off for being slow."""
        ...

    def close(self) -> None:
        """Stop; the iterator ends."""
        ...
