"""What every `Bus` promises about its bounded past and about going on from there."""

import asyncio

import pytest

from tests.conformance.bus_harness import (
    KEPT,
    OTHER,
    PASSING,
    BusOptions,
    StartBus,
    StartsBus,
    drain,
    numbered,
    payloads,
    take,
    until,
)
from tidewire.hub.tasks import Tasks
from tidewire.model.errors import BusError, SubscriberLagged
from tidewire.ports import Bus, Subscription


class BusPastSuite(StartsBus):
    async def test_what_was_published_is_held_when_publish_returns(self, bus: Bus) -> None:
        for payload in numbered(20):
            await bus.publish(KEPT, payload)
            assert (await bus.history(KEPT))[-1].payload == payload

    async def test_the_past_is_read_in_pages(self, bus: Bus) -> None:
        for payload in numbered(10):
            await bus.publish(KEPT, payload)
        pages = [await bus.history(KEPT, after=after, limit=4) for after in (0, 4, 8, 10)]
        assert [payloads(page) for page in pages] == [
            numbered(10)[:4],
            numbered(10)[4:8],
            numbered(10)[8:],
            [],
        ]

    async def test_topics_that_nobody_keeps_have_no_past(self, bus: Bus) -> None:
        await bus.publish(PASSING, b"gone")
        assert list(await bus.history(PASSING)) == []
        assert list(await bus.history("never heard of")) == []
        with pytest.raises(SubscriberLagged):
            await bus.history(PASSING, after=0)
        with pytest.raises(SubscriberLagged):
            await bus.subscribe((PASSING,), after=0)

    async def test_a_sequence_never_reached_is_refused(self, bus: Bus) -> None:
        await bus.publish(KEPT, b"1")
        with pytest.raises(SubscriberLagged):
            await bus.history(KEPT, after=2)
        with pytest.raises(SubscriberLagged):
            await bus.subscribe((KEPT,), after=2)

    async def test_closing_drops_what_was_missed(self, bus: Bus) -> None:
        await bus.publish(KEPT, b"missed")
        subscription = await bus.subscribe((KEPT,), after=0)
        subscription.close()
        assert await drain(subscription) == []

    async def test_only_one_topic_can_be_continued(self, bus: Bus) -> None:
        with pytest.raises(BusError, match="expected one topic, got 2"):
            await bus.subscribe((KEPT, OTHER), after=0)

    async def test_the_past_is_bounded_in_bytes(self, start_bus: StartBus) -> None:
        bus = (await start_bus(BusOptions(history_bytes=16 * 1024))).bus
        for payload in numbered(100, size=1024):
            await bus.publish(KEPT, payload, key=payload.decode())
        kept = await bus.history(KEPT)
        assert 4 <= len(kept) <= 16
        assert [each.sequence for each in kept] == list(range(101 - len(kept), 101))
        await self._expect_beginning_at(bus, kept[0].sequence)
        assert await bus.last_key(KEPT) == numbered(100, size=1024)[-1].decode()

    async def test_the_past_is_bounded_in_time(self, start_bus: StartBus) -> None:
        started = await start_bus(BusOptions(history_age_s=60.0))
        if started.advance is None:
            started = await start_bus(BusOptions(history_age_s=0.1))
        bus = started.bus
        await bus.publish(KEPT, b"1", key="1")
        await bus.publish(KEPT, b"2", key="2")
        if started.advance is not None:
            started.advance(59)
            assert payloads(await bus.history(KEPT)) == [b"1", b"2"]
            started.advance(2)

        async def forgotten() -> bool:
            return not await bus.history(KEPT)

        await until(forgotten)
        await self._expect_beginning_at(bus, 3)
        assert await bus.last_key(KEPT) == "2"
        await bus.publish(KEPT, b"3", key="3")
        assert [each.sequence for each in await bus.history(KEPT)] == [3]

    async def _expect_beginning_at(self, bus: Bus, sequence: int) -> None:
        """The past reaches back to `sequence` and not a message further."""
        await bus.history(KEPT, after=sequence - 1)
        (await bus.subscribe((KEPT,), after=sequence - 1)).close()
        with pytest.raises(SubscriberLagged):
            await bus.history(KEPT, after=sequence - 2)
        with pytest.raises(SubscriberLagged):
            await bus.subscribe((KEPT,), after=sequence - 2)

    async def test_a_subscriber_continues_from_the_past_without_gap_or_repeat(self, bus: Bus) -> None:
        sent = numbered(400)
        followers: list[Subscription] = []

        async def publish() -> None:
            for payload in sent:
                await bus.publish(KEPT, payload)
                await asyncio.sleep(0)

        async with Tasks() as tasks:
            tasks.start(publish(), name="publisher")
            starts = [0, 1, 17, 100, 250]
            for start in starts:

                async def reached(count: int = start + 20) -> bool:
                    return len(await bus.history(KEPT)) >= count

                await until(reached)
                followers.append(await bus.subscribe((KEPT,), after=start))
            for start, follower in zip(starts, followers, strict=True):
                received = await take(follower, len(sent) - start)
                assert [each.sequence for each in received] == list(range(start + 1, len(sent) + 1))
                assert payloads(received) == sent[start:]
