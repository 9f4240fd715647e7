"""What the whole node may take: connections, joins, messages and presence calls of everybody together. Only counts."""

from msgspec import Struct

from tidewire.hub.bulk import BULK_CHANGES
from tidewire.model.reasons import TOO_MANY_JOINS, TOO_MANY_USERS, Reason
from tidewire.wire.change_body import MAX_RECORD_BYTES
from tidewire.wire.limits import WindowRate


class NodeLimits(Struct, frozen=True, kw_only=True):
    """Limits of a whole node; rates are averages over a minute, and None is no limit."""

    connections: int = 10_000
    joins_per_s: float | None = None
    events_per_s: float | None = None
    """Messages sent and every delivery of them."""
    presence_per_s: float | None = None
    outbox_bytes: int = 256 * 1024
    """What may wait for a client that reads slowly before it is told to come back."""
    drops_broadcasts: bool = False
    """Whether broadcasts that such a client misses are dropped, and counted for it, before that."""
    bulk_changes: int = BULK_CHANGES
    """So many changes of one transaction a reader is told as they come; then it hears the rest from the past."""
    change_bytes: int = MAX_RECORD_BYTES
    """The largest row change; a larger one is sent without its large values."""


class Gate:
    """Ask before you let somebody do something; the answer counts what was asked."""

    __slots__ = ("_connections", "_events", "_joins", "_presence")

    def __init__(self, limits: NodeLimits) -> None:
        self._connections = limits.connections
        self._joins = _rate(limits.joins_per_s)
        self._events = _rate(limits.events_per_s)
        self._presence = _rate(limits.presence_per_s)

    def refuses_connection(self, connections: int, now_s: float) -> Reason | None:
        """Return why nobody may connect while there are so many, or None. Counts nothing."""
        if connections >= self._connections:
            return TOO_MANY_USERS
        return TOO_MANY_JOINS if self._joins is not None and self._joins.tripped(now_s) else None

    def refuses_join(self, now_s: float) -> bool:
        """Count a join and say whether it is one too many."""
        return self._joins is not None and self._joins.add(now_s)

    def refuses_events(self, now_s: float, count: int = 1) -> bool:
        """Count messages, or deliveries, and say whether they are too many."""
        return self._events is not None and self._events.add(now_s, count)

    def refuses_presence(self, now_s: float) -> bool:
        """Count a call and say whether it is one too many."""
        return self._presence is not None and self._presence.add(now_s)


def _rate(limit_per_s: float | None) -> WindowRate | None:
    return None if limit_per_s is None else WindowRate(limit_per_s=limit_per_s)
