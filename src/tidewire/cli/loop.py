"""Runs a command's coroutine on uvloop; Ctrl-C and SIGTERM end it cleanly instead of with a traceback."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import uvloop


def run_async(work: Coroutine[Any, Any, None]) -> None:
    """Run until done. Both signals cancel the work, so that every `async with` leaves, and raise KeyboardInterrupt."""
    uvloop.run(_until_signal(work))


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    stopped = False
    task = asyncio.current_task()

    def stop() -> None:
        nonlocal stopped
        stopped = True
        if task is not None:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        await work
    except asyncio.CancelledError:
        if stopped:
            raise KeyboardInterrupt from None
        raise
