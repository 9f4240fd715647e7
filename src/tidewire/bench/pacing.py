"""Two ways to have many askers ask: at a steady rate whatever happens, and each again as soon as it has its answer.

At a steady rate the time counts from when a question was due, so a server that holds askers up does not look better.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from time import perf_counter
from typing import Final

from tidewire.hub.tasks import Tasks

Ask = Callable[[int], Awaitable[None]]
"""Asks the question with this number, and returns when it is answered and the answer is right."""

_POLL_S: Final = 0.001


async def steady_ms(asks: Sequence[Ask], *, rate: float, seconds: float, first: int = 0) -> list[float]:
    """Ask `rate` questions a second, spread over the askers; return how long each took, in milliseconds, sorted."""
    times_ms: list[float] = []
    free = deque(asks)
    waiting: deque[tuple[int, float]] = deque()

    async def ask(asker: Ask) -> None:
        while waiting:
            number, due_s = waiting.popleft()
            await asker(number)
            times_ms.append((perf_counter() - due_s) * 1000)
        free.append(asker)

    async with Tasks(report=_stay_silent) as tasks:
        begin_s = perf_counter()
        for number in range(int(rate * seconds)):
            due_s = begin_s + number / rate
            if (pause_s := due_s - perf_counter()) > 0:
                await asyncio.sleep(pause_s)
            # That our own timer is late is no server's fault; that no asker is free is.
            waiting.append((first + number, perf_counter() if free else due_s))
            if free:
                tasks.start(ask(free.popleft()), name="ask")
        while len(free) < len(asks):  # noqa: ASYNC110 - an event for each asker would cost what is measured
            await asyncio.sleep(_POLL_S)
    return sorted(times_ms)


async def saturated_per_s(asks: Sequence[Ask], *, seconds: float, first: int = 0) -> float:
    """Let all askers ask without a pause; return how many questions a second were answered."""
    numbers = count(first)
    answered = 0
    begin_s = perf_counter()

    async def ask(asker: Ask) -> None:
        nonlocal answered
        while perf_counter() < begin_s + seconds:
            await asker(next(numbers))
            answered += 1

    await asyncio.gather(*map(ask, asks))
    return answered / (perf_counter() - begin_s)


def _stay_silent(_name: str, _error: Exception) -> None:
    """The failure leaves the block as an exception; saying it twice helps nobody."""
