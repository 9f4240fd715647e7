"""Asks Postgres now and then how far its log is, and how much more it can write before it gives a slot up."""

import asyncio
from contextlib import suppress
from typing import Final

from tidewire.model.errors import TidewireError
from tidewire.model.position import parse_lsn
from tidewire.postgres import queries
from tidewire.postgres.pool import Pool

POLL_S: Final = 10.0


class Headroom:
    """Run `watch`; then `size_bytes` is what Postgres said last."""

    def __init__(self, pool: Pool, slot: str) -> None:
        self.size_bytes: int | None = None
        """None where there is no slot, or no limit to what it keeps."""
        self.log_end: int | None = None
        """Up to where the log was written then; None on a standby, and before the first answer."""
        self._pool = pool
        self._slot = slot

    async def watch(self) -> None:
        """Ask for ever; while the database is away the last answer stands."""
        while True:
            with suppress(TidewireError):
                rows = await self._pool.fetch(
                    "asking how much log a slot may keep", queries.load("slot_headroom"), {"slot": self._slot}
                )
                self.size_bytes, log_end = rows[0]
                self.log_end = None if log_end is None else parse_lsn(log_end)
            await asyncio.sleep(POLL_S)
