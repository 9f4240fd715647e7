"""The bounded past of one topic: keeps the newest messages by size and age, and says when what is asked for is gone."""

from collections.abc import Callable, Iterable
from typing import Final

from tidewire.model.errors import SubscriberLagged
from tidewire.ports import Envelope

OVERHEAD_BYTES: Final = 256
"""Counted for each message besides its payload (envelope, key, bookkeeping), so that empty ones are bounded too."""


def cost_bytes(payload: bytes) -> int:
    """Return what holding a message counts against a bound in bytes."""
    return len(payload) + OVERHEAD_BYTES


class Past:
    """The newest messages of one topic. The newest of all stays even if it alone is over the bound in bytes."""

    def __init__(self, topic: str, clock: Callable[[], float], limit_bytes: int, limit_age_s: float) -> None:
        self.last_key = ""
        self.held_bytes = 0
        self._topic = topic
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._limit_age_s = limit_age_s
        self._newest = 0
        self._kept: dict[int, tuple[float, Envelope]] = {}
        """By their numbers, which follow each other: the next is found at once, however many there are."""

    def append(self, key: str, payload: bytes) -> Envelope:
        """Number a message and keep it; what no longer fits is forgotten. The caller has compared the key."""
        self._newest += 1
        self.last_key = key or self.last_key
        envelope = Envelope(self._topic, self._newest, key, payload)
        self._kept[self._newest] = (self._clock(), envelope)
        self.held_bytes += cost_bytes(payload)
        self._trim()
        return envelope

    def after(self, sequence: int | None) -> Iterable[Envelope]:
        """Return what came after `sequence`, or all that is kept: a view, to be used up before anything is appended.

        Raises SubscriberLagged when part of it is gone, and also for a sequence never reached: it was counted by
        another process, whose past this is not.
        """
        self._trim()
        start = self._newest - len(self._kept)
        if sequence is None:
            sequence = start
        if not start <= sequence <= self._newest:
            raise SubscriberLagged(
                f"reading the past of topic {self._topic!r}: expected {start} to {self._newest}, got {sequence}"
            )
        return (self._kept[number][1] for number in range(sequence + 1, self._newest + 1))

    def _trim(self) -> None:
        too_old = self._clock() - self._limit_age_s
        while self._kept:
            oldest = self._newest - len(self._kept) + 1
            since, envelope = self._kept[oldest]
            if since >= too_old and not self._over_bytes():
                return
            del self._kept[oldest]
            self.held_bytes -= cost_bytes(envelope.payload)

    def _over_bytes(self) -> bool:
        return self.held_bytes > self._limit_bytes and len(self._kept) > 1
