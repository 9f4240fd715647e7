"""Which transactions a query could see, so that what was read can be told from what the log still brings."""

import re
from typing import Final

from msgspec import Struct

from tidewire.model.errors import DecodeError

_XIDS: Final = 2**32
"""The log numbers transactions by their last 32 bits; at any time those in use lie within half of that."""

_SNAPSHOT: Final = re.compile(r"(\d{1,20}):(\d{1,20}):((?:\d{1,20},?)*)", re.ASCII)


class Snapshot(Struct, frozen=True):
    """Postgres's own: everything before `end` was over but what was `running`. Numbers have 64 bits."""

    end: int
    running: frozenset[int] = frozenset()

    @property
    def oldest_running(self) -> int:
        """The number before which every transaction was over."""
        return min(self.running, default=self.end)

    def sees(self, xid: int) -> bool:
        """Say whether a transaction of the log, by its 32-bit number, had committed for whoever has this snapshot."""
        before = (self.end - xid) % _XIDS
        return 0 < before < _XIDS // 2 and self.end - before not in self.running


def nearest(xid: int, known: int) -> int:
    """Return the number with the same last 32 bits as `xid` that lies nearest to `known`."""
    return known + (xid - known + _XIDS // 2) % _XIDS - _XIDS // 2


def parse_snapshot(text: str) -> Snapshot:
    """Read what `pg_current_snapshot()` says. Raises DecodeError."""
    found = _SNAPSHOT.fullmatch(text)
    if found is None:
        raise DecodeError("reading a snapshot: expected XMIN:XMAX:XIP,…, got another text")
    return Snapshot(int(found[2]), frozenset(int(xid) for xid in found[3].split(",") if xid))
