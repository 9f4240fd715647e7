"""What a page holds on to, as Chromium's own tools count it."""

from typing import NamedTuple

from playwright.async_api import CDPSession


class Weight(NamedTuple):
    """`nodes` are those of the document and those that a script still knows."""

    heap_bytes: int
    listeners: int
    nodes: int


async def weigh(session: CDPSession) -> Weight:
    """Count what is left after everything unused is gone."""
    for _ in range(2):  # what the first round frees may have kept something else
        await session.send("HeapProfiler.collectGarbage")
    heap = await session.send("Runtime.getHeapUsage")
    found = await session.send("Memory.getDOMCounters")
    return Weight(heap["usedSize"], found["jsEventListeners"], found["nodes"])
