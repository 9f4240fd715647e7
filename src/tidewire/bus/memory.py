"""A `Bus` inside one process: kept topics remember a bounded past, all others go straight to present subscribers.

It starts no task and reads no clock: publishers and subscribers wake each other, and the time is asked of its maker.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, Self

from tidewire.bus.past import Past, cost_bytes
from tidewire.model.errors import BusError, SubscriberLagged
from tidewire.ports import CHANGES, Envelope

TURN_BYTES: Final = 16 * 1024
"""What a publisher gives a subscriber before it waits for a turn: a few milliseconds of small transactions. When the
turns of the loop are long, one message in each would leave the present further behind with every second."""


class MemoryBus:
    """Topics in this process. Those in `kept` have a past, each bounded by `history_bytes` and `history_age_s`.

    A subscriber holds at most `queue_bytes`, or one larger message. While it is full, publishing on a kept topic waits
    for it to take something, at most `patience_s`; then, and on other topics at once, it is cut off.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        kept: Collection[str] = (CHANGES,),
        history_bytes: int = 64 * 2**20,
        history_age_s: float = 300.0,
        queue_bytes: int = 16 * 2**20,
        patience_s: float = 5.0,
    ) -> None:
        self._pasts = {topic: Past(topic, clock, history_bytes, history_age_s) for topic in kept}
        # One publisher of a kept topic at a time: while it waits for room, the next must not overtake it.
        self._orders = {topic: asyncio.Lock() for topic in kept}
        self._queue_bytes = queue_bytes
        self._patience_s = patience_s
        # A topic is listed from its first subscriber to its last, so topics that nobody follows cost nothing.
        self._subscribers: dict[str, list[MemorySubscription]] = {}
        self._closed = False

    async def publish(self, topic: str, payload: bytes, *, key: str = "") -> None:
        """Give a message to the past and to all subscribers in one step. A cancelled call has published nothing."""
        past = self._pasts.get(topic)
        if past is None:
            self._refuse_when_closed("publishing")
            await self._give_turn(topic, cost_bytes(payload))
            self._refuse_when_closed("publishing")
            self._deliver(Envelope(topic, 0, key, payload))
            return
        async with self._orders[topic]:
            self._refuse_when_closed("publishing")
            if key and key <= past.last_key:
                return
            await self._give_turn(topic, cost_bytes(payload))
            await self._wait_for_room(topic, cost_bytes(payload))
            self._refuse_when_closed("publishing")
            self._deliver(past.append(key, payload))

    async def subscribe(self, topics: Sequence[str], *, after: int | None = None) -> "MemorySubscription":
        """Follow topics from now, or one kept topic from just after sequence `after`; the caller closes it."""
        self._refuse_when_closed("subscribing")
        missed: Iterable[Envelope] = ()
        if after is not None:
            if len(topics) != 1:
                raise BusError(f"subscribing after a sequence: expected one topic, got {len(topics)}")
            missed = self._past(topics[0]).after(after)
        subscription = MemorySubscription(tuple(topics), missed, self._queue_bytes, self._leave)
        for topic in subscription.topics:
            self._subscribers.setdefault(topic, []).append(subscription)
        return subscription

    async def history(self, topic: str, *, after: int | None = None, limit: int = 1000) -> Sequence[Envelope]:
        """Return what the past still holds, oldest first. A topic without a past has none: ask it without `after`."""
        if after is None and topic not in self._pasts:
            return ()
        return tuple(islice(self._past(topic).after(after), limit))

    async def last_key(self, topic: str) -> str:
        """Return the greatest key published on a kept topic, or an empty text."""
        past = self._pasts.get(topic)
        return past.last_key if past else ""

    async def close(self) -> None:
        """End every subscription after what it holds, and refuse whoever is still waiting to publish."""
        self._closed = True
        for subscription in {id(each): each for every in self._subscribers.values() for each in every}.values():
            subscription.end()
        self._subscribers.clear()

    def _past(self, topic: str) -> Past:
        past = self._pasts.get(topic)
        if past is None:
            raise SubscriberLagged(f"reading the past of topic {topic!r}: this topic keeps none")
        return past

    async def _give_turn(self, topic: str, cost: int) -> None:
        """Let the loop run if someone holds a turn's work, or all it can: a tireless publisher would starve it."""
        if any(each.held_bytes >= TURN_BYTES or not each.has_room(cost) for each in self._subscribers.get(topic, ())):
            await asyncio.sleep(0)

    async def _wait_for_room(self, topic: str, cost: int) -> None:
        """Wait until every subscriber has room at the same moment, or patience ends."""
        if self._first_full(topic, cost) is None:
            return
        with suppress(TimeoutError):  # _deliver cuts off whoever is still full then
            async with asyncio.timeout(self._patience_s):
                while (full := self._first_full(topic, cost)) is not None:
                    await full.wait_for_reader()

    def _first_full(self, topic: str, cost: int) -> "MemorySubscription | None":
        return next((each for each in self._subscribers.get(topic, ()) if not each.has_room(cost)), None)

    def _deliver(self, envelope: Envelope) -> None:
        cost = cost_bytes(envelope.payload)
        for subscription in tuple(self._subscribers.get(envelope.topic, ())):
            if subscription.has_room(cost):
                subscription.hold(envelope)
            else:
                self._leave(subscription)
                subscription.end(f"following topic {envelope.topic!r}: {subscription.held_bytes} bytes wait unread")

    def _leave(self, subscription: "MemorySubscription") -> None:
        for topic in subscription.topics:
            others = [each for each in self._subscribers.get(topic, ()) if each is not subscription]
            if others:
                self._subscribers[topic] = others
            else:
                self._subscribers.pop(topic, None)

    def _refuse_when_closed(self, doing: str) -> None:
        if self._closed:
            raise BusError(f"{doing}: the bus is closed")


class MemorySubscription:
    """A place in some topics: what it missed, then what it holds, then a wait. Iterate it; the rest is for the bus."""

    def __init__(
        self,
        topics: tuple[str, ...],
        missed: Iterable[Envelope],
        limit_bytes: int,
        leave: Callable[["MemorySubscription"], None],
    ) -> None:
        self.topics = tuple(dict.fromkeys(topics))
        self.held_bytes = 0
        """What waits unread, without what was missed: the past's own bounds limit that."""
        self._missed = deque(missed)
        self._held: deque[Envelope] = deque()
        self._limit_bytes = limit_bytes
        self._leave = leave
        self._lag = ""
        self._ended = False
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Envelope:
        while not (self._missed or self._held):
            if self._lag:
                raise SubscriberLagged(self._lag)
            if self._ended:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        # Nothing is awaited from here on, so a cancelled reader has lost nothing.
        if self._missed:
            return self._missed.popleft()
        envelope = self._held.popleft()
        self.held_bytes -= cost_bytes(envelope.payload)
        self._taken.set()
        return envelope

    def close(self) -> None:
        """Stop now; what is still held is dropped, and publishers no longer wait for this subscriber."""
        self._leave(self)
        self._missed.clear()
        self._held.clear()
        self.held_bytes = 0
        self._lag = ""
        self.end()

    def has_room(self, cost: int) -> bool:
        """Tell whether a message fits; an empty queue takes one of any size, or it could never be delivered."""
        return not self._held or self.held_bytes + cost <= self._limit_bytes

    def hold(self, envelope: Envelope) -> None:
        """Queue a message and wake the reader."""
        self._held.append(envelope)
        self.held_bytes += cost_bytes(envelope.payload)
        self._arrived.set()

    def end(self, lag: str = "") -> None:
        """Let the reader finish what is held; then the iterator ends, or raises SubscriberLagged if `lag` says why."""
        self._ended = True
        self._lag = self._lag or lag
        self._arrived.set()
        self._taken.set()

    async def wait_for_reader(self) -> None:
        """Wait until something is taken or this subscriber is gone. Then look again: others may have been faster."""
        self._taken.clear()
        await self._taken.wait()
