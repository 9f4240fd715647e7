"""Reads the private broadcasts in `realtime.messages`, and adds some. Asks no policy: whoever calls has done so."""

from collections.abc import Mapping, Sequence
from typing import Final

from psycopg import errors as pg

from tidewire.model.errors import PostgresError
from tidewire.model.position import Lsn, parse_lsn
from tidewire.model.snapshot import Snapshot, parse_snapshot
from tidewire.ports import Keeping, Kept, KeptBroadcast
from tidewire.postgres import queries
from tidewire.postgres.channel_policies import is_partition_missing, storable
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

    async def keep(self, broadcasts: Sequence[Keeping]) -> int:
        """Store all or none, in their order, as ones that were sent already; return the number of the transaction."""
        doing = "keeping broadcasts"
        if not all(storable(each.topic) and storable(each.broadcast.event) for each in broadcasts):
            raise PostgresError(f"{doing}: expected names that Postgres can hold, got others")
        columns = _columns(broadcasts)
        async with self._pool.connection(doing) as connection:
            try:
                cursor = await connection.execute(queries.load("kept_broadcasts_add"), columns)
            except pg.CheckViolation as error:
                if not is_partition_missing(error):
                    raise
                await connection.execute("select realtime.tidewire_open_today()")
                cursor = await connection.execute(queries.load("kept_broadcasts_add"), columns)
            xid, *_ = await cursor.fetchone() or (0,)
            return int(xid)


def _columns(broadcasts: Sequence[Keeping]) -> Mapping[str, object]:
    """Turn broadcasts into one list for each column, so that one statement stores them all."""
    bodies = [each.broadcast for each in broadcasts]
    return {
        "ids": [body.id for body in bodies],
        "topics": [each.topic for each in broadcasts],
        "events": [body.event for body in bodies],
        "texts": [None if body.binary else body.body.decode() for body in bodies],
        "bytes": [body.body if body.binary else None for body in bodies],
        "ttls_s": [each.ttl_s for each in broadcasts],
    }
