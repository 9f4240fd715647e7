"""Waits until a transaction that the log has told of is visible to those who ask the database. Reads nothing else."""

import asyncio
from typing import Final

from tidewire.model.errors import DatabaseUnreachable
from tidewire.model.snapshot import parse_snapshot
from tidewire.postgres import queries
from tidewire.postgres.pool import Pool

_SHORTEST_PAUSE_S: Final = 0.005
_LONGEST_PAUSE_S: Final = 0.1


async def until_visible(pool: Pool, xid: int, *, patience_s: float, doing: str) -> None:
    """Return when whoever asks sees the commit: it is in the log before, with a slow synchronous standby long before.

    Raises DatabaseUnreachable, which is worth another attempt, when that takes longer than `patience_s`.
    """
    loop = asyncio.get_running_loop()
    deadline_s, pause_s = loop.time() + patience_s, _SHORTEST_PAUSE_S
    while True:
        ((snapshot, ending),) = await pool.fetch(doing, queries.load("rules_snapshot"), {"xid": xid})
        if not ending and parse_snapshot(snapshot).sees(xid):
            return
        if loop.time() + pause_s > deadline_s:
            raise DatabaseUnreachable(
                f"{doing}: expected transaction {xid} to be visible within {patience_s:g} s, got none of it",
                hint="a synchronous standby may hold its commit back: look into pg_stat_replication",
            )
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
