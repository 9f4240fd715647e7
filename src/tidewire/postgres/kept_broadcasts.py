"""Reads the private broadcasts that `realtime.messages` still holds. Asks no policy: whoever calls has done so."""

from typing import Final

from tidewire.model.position import Lsn, parse_lsn
from tidewire.model.snapshot import Snapshot, parse_snapshot
from tidewire.ports import Kept, KeptBroadcast
from tidewire.postgres import queries
from tidewire.postgres.channel_policies import storable
from tidewire.postgres.pool import Pool

MOST_EACH_BYTES: Final = 3_000_500
"""A larger one is left out, as a live one would be."""


class PostgresKeptBroadcasts:
    """Implements `ports.KeptBroadcasts`."""

    def __init__(self, pool: Pool, *, most_each_bytes: int = MOST_EACH_BYTES) -> None:
        self._pool = pool
        self._most_each_bytes = most_each_bytes

    async def read(self, topic: str, *, since_ms: int, limit: int, most_bytes: int) -> Kept:
        """Return the newest since then: at most `limit`, and no more than fit, but the newest in any case."""
        if not storable(topic):
            return Kept((), Snapshot(0), Lsn(0))
        rows = await self._pool.fetch(
            "reading kept broadcasts",
            queries.load("kept_broadcasts"),
            {
                "topic": topic,
                "since_ms": since_ms,
                "limit": limit,
                "most_bytes": most_bytes,
                "most_each": self._most_each_bytes,
            },
        )
        found = tuple(
            KeptBroadcast(id_, event, body.encode() if bytes_ is None else bytes(bytes_), bytes_ is not None)
            for _, _, id_, event, body, bytes_ in rows
            if id_ is not None
        )
        snapshot, lsn, *_ = rows[0]  # there even if nothing is kept
        return Kept(found, parse_snapshot(snapshot), parse_lsn(lsn))
