"""What every `Bus` promises about subscribers that are slow, stuck or leaving, and about its own end."""

import asyncio

import pytest

from tests.conformance.bus_harness import (
    DEADLINE_S,
    KEPT,
    OTHER,
    PASSING,
    BusOptions,
    StartBus,
    StartsBus,
    drain,
    drain_until_cut_off,
    numbered,
    payloads,
    publish_all,
    reading,
    take,
    turns,
    until,
)
from tidewire.hub.tasks import Tasks
from tidewire.model.errors import BusError
from tidewire.ports import Bus, Envelope


class BusPressureSuite(StartsBus):
    async def test_a_stuck_subscriber_is_cut_off_and_told_while_others_go_on(self, start_bus: StartBus) -> None:
        bus = (await start_bus(BusOptions(queue_bytes=16 * 1024, patience_s=0.05))).bus
        sent = numbered(200, size=1024)
        stuck, healthy = await bus.subscribe((KEPT,)), await bus.subscribe((KEPT,))
        async with reading(healthy) as seen:
            for payload in sent:
                await bus.publish(KEPT, payload)

            async def caught_up() -> bool:
                return len(seen) == len(sent)

            await until(caught_up)
        assert payloads(seen) == sent
        held = await drain_until_cut_off(stuck)
        await bus.publish(KEPT, b"after the gap")
        assert await drain_until_cut_off(stuck) == []
        stuck.close()
        assert await drain(stuck) == []
        assert 1 <= len(held) < len(sent)
        assert payloads(held) == sent[: len(held)]

    async def test_a_stuck_subscriber_is_cut_off_on_a_topic_without_a_past_too(self, start_bus: StartBus) -> None:
        bus = (await start_bus(BusOptions(queue_bytes=16 * 1024))).bus
        stuck = await bus.subscribe((PASSING,))
        for payload in numbered(200, size=1024):
            await bus.publish(PASSING, payload)
        assert 1 <= len(await drain_until_cut_off(stuck)) < 200

    async def test_a_slow_but_moving_subscriber_gets_everything(self, start_bus: StartBus) -> None:
        bus = (await start_bus(BusOptions(queue_bytes=4 * 1024))).bus
        sent = numbered(100, size=1024)
        slow = await bus.subscribe((KEPT,))
        async with Tasks() as tasks:
            tasks.start(publish_all(bus, sent), name="publisher")
            received: list[Envelope] = []
            for _ in sent:
                await turns(5)
                received += await take(slow, 1)
        assert payloads(received) == sent

    async def test_a_publisher_waits_for_every_slow_subscriber(self, start_bus: StartBus) -> None:
        bus = (await start_bus(BusOptions(queue_bytes=4 * 1024))).bus
        sent = numbered(30, size=1024)
        first, second = await bus.subscribe((KEPT,)), await bus.subscribe((KEPT,))
        received: list[Envelope] = []
        async with Tasks() as tasks:
            tasks.start(publish_all(bus, sent), name="publisher")
            for _ in sent:
                await turns(5)
                ahead = await take(first, 1)
                await turns(5)
                received += await take(second, 1)
                assert received[-1:] == ahead
        assert payloads(received) == sent

    async def test_a_message_larger_than_the_queue_still_arrives(self, start_bus: StartBus) -> None:
        bus = (await start_bus(BusOptions(queue_bytes=4 * 1024))).bus
        sent = numbered(3, size=10 * 1024)
        subscription = await bus.subscribe((KEPT,))
        async with Tasks() as tasks:
            tasks.start(publish_all(bus, sent), name="publisher")
            assert payloads(await take(subscription, 3)) == sent

    async def test_publishers_that_wait_overtake_nobody_and_repeat_nothing(self, start_bus: StartBus) -> None:
        """The small message would fit while the large one before it waits, and its key would make that one a repeat."""
        bus = (await start_bus(BusOptions(queue_bytes=4 * 1024))).bus
        subscription = await bus.subscribe((KEPT,))
        sizes = [3000, 3000, 3000, 10, 3000]
        async with Tasks() as tasks:
            for number, size in enumerate(sizes):
                for copy in range(2):
                    tasks.start(bus.publish(KEPT, bytes(size), key=str(number)), name=f"publisher {number}.{copy}")
            await turns()
            received = await take(subscription, len(sizes))
        assert [(each.sequence, each.key, len(each.payload)) for each in received] == [
            (number + 1, str(number), size) for number, size in enumerate(sizes)
        ]
        assert list(await bus.history(KEPT)) == received

    async def test_a_publisher_stops_waiting_when_the_subscriber_leaves(self, start_bus: StartBus) -> None:
        bus = (await start_bus(BusOptions(queue_bytes=4 * 1024))).bus
        stuck, leaving = await bus.subscribe((KEPT,)), await bus.subscribe((KEPT, OTHER))
        sent = numbered(50, size=1024)
        async with Tasks() as tasks, asyncio.timeout(DEADLINE_S):
            published = asyncio.Event()
            tasks.start(publish_all(bus, sent, then=published.set), name="publisher")
            await turns()
            stuck.close()
            await turns()
            leaving.close()
            await published.wait()
        assert payloads(await bus.history(KEPT)) == sent
        assert await drain(stuck) == []
        assert await drain(leaving) == []

    async def test_a_cancelled_publisher_may_publish_again(self, start_bus: StartBus) -> None:
        bus = (await start_bus(BusOptions(queue_bytes=4 * 1024))).bus
        subscription = await bus.subscribe((KEPT,))
        sent = numbered(50, size=1024)
        async with Tasks() as tasks:
            tasks.start(publish_all(bus, sent, keyed=True), name="publisher")
            await turns()
        async with Tasks() as tasks:
            tasks.start(publish_all(bus, sent, keyed=True), name="publisher")
            assert payloads(await take(subscription, len(sent))) == sent

    async def test_a_subscriber_that_closes_ends_at_once_and_costs_the_others_nothing(self, bus: Bus) -> None:
        leaving, staying = await bus.subscribe((KEPT,)), await bus.subscribe((KEPT,))
        async with reading(leaving) as seen:
            await bus.publish(KEPT, b"1")
            await take(staying, 1)

            async def read() -> bool:
                return len(seen) == 1

            await until(read)
            leaving.close()
            leaving.close()
        await bus.publish(KEPT, b"2")
        assert payloads(seen) == [b"1"]
        assert await drain(leaving) == []
        assert payloads(await take(staying, 1)) == [b"2"]

    async def test_closing_ends_subscriptions_after_what_they_hold(self, bus: Bus) -> None:
        holding, waiting = await bus.subscribe((KEPT,)), await bus.subscribe((PASSING,))
        await bus.publish(KEPT, b"held")

        async with Tasks() as tasks:
            ended = asyncio.Event()

            async def wait() -> None:
                assert await drain(waiting) == []
                ended.set()

            tasks.start(wait(), name="waiting reader")
            await turns()
            await bus.close()
            await bus.close()
            async with asyncio.timeout(DEADLINE_S):
                await ended.wait()
        assert payloads(await drain(holding)) == [b"held"]

    async def test_a_closed_bus_refuses(self, bus: Bus) -> None:
        await bus.close()
        with pytest.raises(BusError):
            await bus.publish(KEPT, b"")
        with pytest.raises(BusError):
            await bus.publish(PASSING, b"")
        with pytest.raises(BusError):
            await bus.subscribe((KEPT,))

    async def test_closing_refuses_a_publisher_that_waits(self, start_bus: StartBus) -> None:
        bus = (await start_bus(BusOptions(queue_bytes=4 * 1024))).bus
        await bus.subscribe((KEPT,))
        refused: list[str] = []

        def note(name: str, error: Exception) -> None:
            refused.append(f"{name}: {type(error).__name__}")

        async with Tasks(report=note, fail_together=False) as tasks:
            tasks.start(publish_all(bus, numbered(50, size=1024)), name="first")
            tasks.start(publish_all(bus, numbered(50, size=1024)), name="second")
            await turns()
            held = await bus.history(KEPT)
            await bus.close()

            async def both() -> bool:
                return sorted(refused) == ["first: BusError", "second: BusError"]

            await until(both)
        assert await bus.history(KEPT) == held
