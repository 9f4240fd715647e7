"""The in-memory bus keeps the promises of a bus."""

from collections.abc import AsyncGenerator

import pytest

# Before they are imported, so that their asserts show values.
pytest.register_assert_rewrite(
    "tests.conformance.bus_delivery", "tests.conformance.bus_past", "tests.conformance.bus_pressure"
)

from tests.conformance.bus_harness import (  # noqa: E402 - see above
    KEPT,
    PASSING,
    BusOptions,
    StartBus,
    StartedBus,
    reading,
    turns,
)
from tests.conformance.bus_suite import BusSuite  # noqa: E402 - see above
from tidewire.bus.memory import TURN_BYTES, MemoryBus  # noqa: E402 - see above
from tidewire.bus.past import OVERHEAD_BYTES, Past  # noqa: E402 - see above


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class TestMemoryBus(BusSuite):
    @pytest.fixture
    async def start_bus(self) -> AsyncGenerator[StartBus, None]:
        buses: list[MemoryBus] = []

        async def start(options: BusOptions) -> StartedBus:
            clock = Clock()
            bus = MemoryBus(
                clock=clock,
                kept=options.kept,
                history_bytes=options.history_bytes,
                history_age_s=options.history_age_s,
                queue_bytes=options.queue_bytes,
                patience_s=options.patience_s,
            )
            buses.append(bus)
            return StartedBus(bus, clock.advance)

        yield start
        for bus in buses:
            await bus.close()

    @pytest.mark.parametrize("topic", [KEPT, PASSING])
    async def test_a_publisher_that_never_waits_lets_readers_run(self, start_bus: StartBus, topic: str) -> None:
        """One process has one event loop: a queue that only fills up would add its whole length to the latency."""
        bus = (await start_bus(BusOptions())).bus
        async with reading(await bus.subscribe((topic,))) as seen:
            for number in range(1, 1001):
                await bus.publish(topic, b"")
                assert (number - len(seen)) * OVERHEAD_BYTES <= TURN_BYTES

    @pytest.mark.parametrize("topic", [KEPT, PASSING])
    async def test_what_a_reader_takes_in_one_turn_is_published_in_one(self, start_bus: StartBus, topic: str) -> None:
        """Turns are long while thousands come back, and the present must not wait for one with each message."""
        bus = (await start_bus(BusOptions())).bus
        async with reading(await bus.subscribe((topic,))) as seen:
            await turns()
            for _ in range(TURN_BYTES // OVERHEAD_BYTES):
                await bus.publish(topic, b"")
            assert not seen, "the loop has turned"
            await turns(2)
            assert len(seen) == TURN_BYTES // OVERHEAD_BYTES

    async def test_topics_that_nobody_follows_leave_nothing_behind(self, start_bus: StartBus) -> None:
        bus = (await start_bus(BusOptions())).bus
        assert isinstance(bus, MemoryBus)
        for number in range(10):
            topic = f"room {number}"
            subscription = await bus.subscribe((topic, KEPT))
            await bus.publish(topic, b"")
            subscription.close()
        assert bus._subscribers == {}


def test_the_past_gives_memory_back_when_something_is_added() -> None:
    clock = Clock()
    past = Past("topic", clock, 3 * OVERHEAD_BYTES, 60.0)
    for _ in range(10):
        past.append("", b"")
    assert past.held_bytes == 3 * OVERHEAD_BYTES
    clock.advance(60)
    assert len(list(past.after(None))) == 3
    clock.advance(1)
    past.append("", b"")
    assert past.held_bytes == OVERHEAD_BYTES


def test_the_newest_message_is_kept_however_large() -> None:
    past = Past("topic", Clock(), 1, 60.0)
    past.append("", b"small")
    past.append("", bytes(1000))
    assert [len(each.payload) for each in past.after(1)] == [1000]
