"""Writes into the log how long it has been served; `wal/uptime.py` says what for."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from tidewire.model.errors import TidewireError
from tidewire.postgres import queries
from tidewire.postgres.pool import Pool
from tidewire.wal.uptime import UPTIME_PREFIX, Uptimes

MARKS_IN_WINDOW: Final = 16
LEAST_S: Final = 1.0
MOST_S: Final = 5.0
"""A server that lives for less than this leaves its past as old as it found it."""
LEAST_BYTES: Final = 2048
"""What others must have written since the last mark: a database that nobody uses stays as it is."""


class Served(Protocol):
    """Where the log is read."""

    status: str

    @property
    def safe(self) -> int:
        """How far the log has been handed out."""
        ...

    async def ready(self) -> None:
        """Wait until it is read."""
        ...


async def write_uptime(
    pool: Pool, source: Served, uptimes: Uptimes, *, window_s: float, clock: Callable[[], float] = time.monotonic
) -> None:
    """Mark the log every now and then while it is read here; never returns."""
    pause_s = min(max(window_s / MARKS_IN_WINDOW, LEAST_S), MOST_S)
    await source.ready()
    began_s, marked = clock(), 0
    while True:
        await asyncio.sleep(pause_s)
        if not uptimes.is_read or source.status != "streaming" or source.safe - marked < LEAST_BYTES:
            continue
        uptime_us = uptimes.last_us + round((clock() - began_s) * 1_000_000)
        with suppress(TidewireError):  # the database is away, and so is whoever might come back
            asked = {"prefix": UPTIME_PREFIX, "uptime": str(uptime_us)}
            await pool.fetch("marking the log", queries.load("mark_uptime"), asked)
            marked = source.safe
