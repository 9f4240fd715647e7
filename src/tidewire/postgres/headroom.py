"""Asks Postgres now and then how much more log it can write before it gives a slot up. Judges nothing."""

import asyncio
from contextlib import suppress
from typing import Final

from tidewire.model.errors import TidewireError
from tidewire.postgres import queries
from tidewire.postgres.pool import Pool

POLL_S: Final = 10.0


class Headroom:
    """Run `watch`; then `size_bytes` is what Postgres said last."""

    def __init__(self, pool: Pool, slot: str) -> None:
        self.size_bytes: int | None = None
        """None where there is no slot, or no limit to what it keeps."""
        self._pool = pool
        self._slot = slot

    async def watch(self) -> None:
        """Ask for ever; while the database is away the last answer stands."""
        while True:
            with suppress(TidewireError):
                rows = await self._pool.fetch(
                    "asking how much log a slot may keep", queries.load("slot_headroom"), {"slot": self._slot}
                )
                self.size_bytes = rows[0][0] if rows else None
            await asyncio.sleep(POLL_S)
