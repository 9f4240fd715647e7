"""What the suites about a `Bus` need: options to start one with, and ways to read and wait that always end.

They see the contract only: bounds and time limits go in through `BusOptions`, and nothing looks inside.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import pytest
from msgspec import Struct

from tidewire.hub.tasks import Tasks
from tidewire.model.errors import SubscriberLagged
from tidewire.ports import Bus, Envelope, Subscription

DEADLINE_S = 10
KEPT = "kept"
OTHER = "other-kept"
PASSING = "passing"


class BusOptions(Struct, frozen=True, kw_only=True):
    kept: tuple[str, ...] = (KEPT, OTHER)
    history_bytes: int = 8 * 2**20
    history_age_s: float = 60.0
    queue_bytes: int = 4 * 2**20
    patience_s: float = 60.0
    """Far beyond any deadline here: a test that means to see someone cut off for being slow asks for less."""


class StartedBus(Struct, frozen=True):
    bus: Bus
    advance: Callable[[float], None] | None
    """Moves the implementation's clock, if it has one of its own; else the suite waits for real time to pass."""


class StartBus(Protocol):
    async def __call__(self, options: BusOptions, /) -> StartedBus: ...


async def take(subscription: Subscription, count: int) -> list[Envelope]:
    async with asyncio.timeout(DEADLINE_S):
        return [await anext(subscription) for _ in range(count)]


async def drain(subscription: Subscription) -> list[Envelope]:
    """Read until the iterator ends, which somebody must bring about."""
    async with asyncio.timeout(DEADLINE_S):
        return [envelope async for envelope in subscription]


async def drain_until_cut_off(subscription: Subscription) -> list[Envelope]:
    held: list[Envelope] = []
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                held.append(await anext(subscription))
            except SubscriberLagged:
                return held


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110 - what a bus holds can only be asked for again
            await asyncio.sleep(0)


async def turns(count: int = 20) -> None:
    """Let everyone else run as far as they can without time passing."""
    for _ in range(count):
        await asyncio.sleep(0)


@asynccontextmanager
async def reading(subscription: Subscription) -> AsyncGenerator[list[Envelope], None]:
    """Keep a reader going beside the test; the list grows as it reads."""
    seen: list[Envelope] = []

    async def read() -> None:
        async for envelope in subscription:
            seen.append(envelope)  # noqa: PERF401 - the test looks at the list while it grows

    async with Tasks() as tasks:
        tasks.start(read(), name="reader")
        yield seen


def payloads(envelopes: Sequence[Envelope]) -> list[bytes]:
    return [envelope.payload for envelope in envelopes]


def numbered(count: int, *, size: int = 0) -> list[bytes]:
    return [str(number).encode().rjust(size, b".") for number in range(count)]


async def publish_all(
    bus: Bus, sent: Sequence[bytes], *, keyed: bool = False, then: Callable[[], None] = lambda: None
) -> None:
    for number, payload in enumerate(sent):
        await bus.publish(KEPT, payload, key=f"{number:08}" if keyed else "")
    then()


class StartsBus:
    """Where the suites get their bus from; the implementation's test class overrides `start_bus`."""

    @pytest.fixture
    def start_bus(self) -> StartBus:
        raise NotImplementedError("the implementation's test module says how to start one")

    @pytest.fixture
    async def bus(self, start_bus: StartBus) -> Bus:
        return (await start_bus(BusOptions())).bus
