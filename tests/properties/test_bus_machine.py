"""The in-memory bus against a model that is a list: no gap, no repeat, never more memory than allowed."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from tidewire.bus.memory import MemoryBus, MemorySubscription
from tidewire.bus.past import OVERHEAD_BYTES
from tidewire.model.errors import SubscriberLagged
from tidewire.ports import Envelope

T = TypeVar("T")
KEPT, PASSING = "kept", "passing"
LIMIT_AGE_S = 30.0
LARGEST = 700

sizes = st.integers(0, LARGEST)


class Reader:
    """A subscription and what it must still yield, in order; `cut` once the bus was entitled to give up on it."""

    def __init__(self, subscription: MemorySubscription, topic: str, expected: list[Envelope]) -> None:
        self.subscription = subscription
        self.topic = topic
        self.expected = expected
        self.missed = len(expected)
        self.cut = False

    def held(self) -> int:
        return sum(len(each.payload) + OVERHEAD_BYTES for each in self.expected[self.missed :])


class BusMachine(RuleBasedStateMachine):
    readers: Bundle[Reader] = Bundle("readers")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.now = 0.0
        self.published: list[tuple[float, Envelope]] = []
        self.passed = 0
        self.last_key = ""
        self.active: list[Reader] = []

    @initialize(history=st.integers(1, 4000), queue=st.integers(1, 4000))
    def start(self, history: int, queue: int) -> None:
        self.history_bytes, self.queue_bytes = history, queue
        self.bus = MemoryBus(
            clock=lambda: self.now,
            kept=(KEPT,),
            history_bytes=history,
            history_age_s=LIMIT_AGE_S,
            queue_bytes=queue,
            patience_s=0,
        )

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def expect_delivery(self, envelope: Envelope) -> None:
        """Whoever has room must get it; whoever has none is cut off, as nobody reads while the bus waits."""
        cost = len(envelope.payload) + OVERHEAD_BYTES
        for reader in [each for each in self.active if each.topic == envelope.topic]:
            if reader.held() and reader.held() + cost > self.queue_bytes:
                reader.cut = True
                self.active.remove(reader)
            else:
                reader.expected.append(envelope)

    # --- what can happen ---------------------------------------------------------------------------------

    @rule(size=sizes, step=st.integers(-3, 3))
    def publish_kept(self, size: int, step: int) -> None:
        number = max(0, int(self.last_key or "0") + step)
        key = f"{number:08}" if step else ""
        self.run(self.bus.publish(KEPT, bytes(size), key=key))
        if key and key <= self.last_key:
            return  # a repeat
        self.last_key = key or self.last_key
        envelope = Envelope(KEPT, len(self.published) + 1, key, bytes(size))
        self.published.append((self.now, envelope))
        self.expect_delivery(envelope)

    @rule(size=sizes)
    def publish_passing(self, size: int) -> None:
        self.passed += 1
        envelope = Envelope(PASSING, 0, str(self.passed), bytes(size))
        self.run(self.bus.publish(PASSING, envelope.payload, key=envelope.key))
        self.expect_delivery(envelope)

    @rule(sizes=st.lists(sizes, min_size=1, max_size=20), target_topic=st.sampled_from([KEPT, PASSING]))
    def publish_to_a_reader_that_reads_along(self, sizes: list[int], target_topic: str) -> None:
        """Publisher and reader take turns by themselves: however they interleave, the reader gets every message."""
        before = [] if target_topic == PASSING else [envelope for _, envelope in self.published]

        async def both() -> list[Envelope]:
            subscription = await self.bus.subscribe((target_topic,))

            async def read() -> list[Envelope]:
                return [await anext(subscription) for _ in sizes]

            async with asyncio.TaskGroup() as group:
                reading = group.create_task(read())
                for size in sizes:
                    await self.bus.publish(target_topic, bytes(size))
            subscription.close()
            return reading.result()

        received = self.run(both())
        first = 0 if target_topic == PASSING else len(before) + 1
        sequences = [0] * len(sizes) if target_topic == PASSING else list(range(first, first + len(sizes)))
        assert [(each.sequence, len(each.payload)) for each in received] == list(zip(sequences, sizes, strict=True))
        for envelope in received:
            if target_topic == KEPT:
                self.published.append((self.now, envelope))
            self.expect_delivery(envelope)

    @rule(target=readers, topic=st.sampled_from([KEPT, PASSING]))
    def subscribe(self, topic: str) -> Reader:
        reader = Reader(self.run(self.bus.subscribe((topic,))), topic, [])
        self.active.append(reader)
        return reader

    @precondition(lambda self: self.published)
    @rule(target=readers, data=st.data())
    def subscribe_after(self, data: st.DataObject) -> Reader:
        kept = self.kept()
        newest = len(self.published)
        after = data.draw(st.integers(newest - len(kept), newest))
        missed = [each for each in kept if each.sequence > after]
        reader = Reader(self.run(self.bus.subscribe((KEPT,), after=after)), KEPT, missed)
        self.active.append(reader)
        return reader

    @precondition(lambda self: self.published)
    @rule(data=st.data())
    def subscribe_after_what_is_gone(self, data: st.DataObject) -> None:
        newest = len(self.published)
        gone = st.integers(newest + 1, newest + 9)
        if (start := newest - len(self.kept())) > 0:
            gone |= st.integers(0, start - 1)
        after = data.draw(gone)
        with pytest.raises(SubscriberLagged):
            self.run(self.bus.subscribe((KEPT,), after=after))

    @rule(reader=readers, count=st.integers(1, 5))
    def take(self, reader: Reader, count: int) -> None:
        for _ in range(min(count, len(reader.expected))):
            assert self.run(anext_of(reader.subscription)) == reader.expected.pop(0)
            reader.missed = max(0, reader.missed - 1)
        if reader.cut and not reader.expected:
            with pytest.raises(SubscriberLagged):
                self.run(anext_of(reader.subscription))

    @rule(reader=consumes(readers))
    def close_reader(self, reader: Reader) -> None:
        reader.subscription.close()
        with pytest.raises(StopAsyncIteration):
            self.run(anext_of(reader.subscription))
        if reader in self.active:
            self.active.remove(reader)

    @rule(seconds=st.floats(0, LIMIT_AGE_S))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    # --- what must hold ----------------------------------------------------------------------------------

    def kept(self) -> list[Envelope]:
        """Work out anew, from everything ever published, what the bounds leave."""
        kept: list[Envelope] = []
        total = 0
        for at, envelope in reversed(self.published):
            total += len(envelope.payload) + OVERHEAD_BYTES
            if at < self.now - LIMIT_AGE_S or (kept and total > self.history_bytes):
                break
            kept.insert(0, envelope)
        return kept

    @invariant()
    def the_past_is_what_the_bounds_leave(self) -> None:
        if hasattr(self, "bus"):
            assert list(self.run(self.bus.history(KEPT))) == self.kept()
            assert self.run(self.bus.history(PASSING)) == ()

    @invariant()
    def the_last_key_is_the_greatest(self) -> None:
        if hasattr(self, "bus"):
            assert self.run(self.bus.last_key(KEPT)) == self.last_key

    @invariant()
    def readers_hold_no_more_than_allowed(self) -> None:
        for reader in self.active:
            assert reader.subscription.held_bytes == reader.held()
            assert reader.held() <= max(self.queue_bytes, LARGEST + OVERHEAD_BYTES)

    def teardown(self) -> None:
        """Closing lets everyone finish what they hold."""
        with self.runner:
            if hasattr(self, "bus"):
                self.run(self.bus.close())
                for reader in self.active:
                    assert self.run(rest_of(reader.subscription)) == reader.expected


async def anext_of(subscription: MemorySubscription) -> Envelope:
    async with asyncio.timeout(5):
        return await anext(subscription)


async def rest_of(subscription: MemorySubscription) -> list[Envelope]:
    async with asyncio.timeout(5):
        return [envelope async for envelope in subscription]


TestBusMachine = pytest.mark.timeout(120)(BusMachine.TestCase)
