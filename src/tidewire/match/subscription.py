"""What readers wish, and groups of readers whose wishes are the same but for the connection. Evaluates nothing."""

from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct

from tidewire.filters.answer import Predicate
from tidewire.model.relation import Relation

ANY: Final = "*"
"""Stands for every schema, every table or every event."""

Select = tuple[str, ...] | None
"""Names of the columns a reader asked for; None for all of them."""


class Audience(Struct, frozen=True, cache_hash=True):
    """Everyone whom row-level security cannot tell apart: the role, and of the claims only those that policies read.

    Put no claims in where a table has no policies; then one check answers for everyone with the role.
    """

    role: str
    claims: tuple[tuple[str, str], ...] = ()


class Subscription(Struct, frozen=True, kw_only=True, gc=False):
    """One wish. `id` is unique in this node; `wire_id` is the number that the client knows it by."""

    id: int
    connection: int
    topic: str
    wire_id: int
    schema: str
    table: str
    event: Literal["*", "INSERT", "UPDATE", "DELETE"]
    filter: str
    """As the client wrote it; blank for none. Subscriptions with the same text are evaluated together."""
    select: Select
    audience: Audience
    truncate: bool = False
    """Also tell when the table is emptied, whatever the event and the filter."""


class CompiledFilter(Struct, frozen=True):
    """A filter made ready for one shape of a table. It holds where `equality` and `residual` both do.

    `equality` is a column's index and the canonical texts of which one must be there. `canonical` brings a row's text
    into the same form, where that differs; it belongs to the column's type and does not raise. `residual` is everything
    else, if anything: True delivers, and for UNDECIDED Postgres will be asked.
    """

    equality: tuple[int, tuple[str, ...]] | None = None
    canonical: Callable[[str], str] | None = None
    residual: Predicate | None = None


Compile = Callable[[Relation], CompiledFilter]
"""Makes a filter ready for a table. Raises when the table does not fit it, for example when a column is gone."""


class Receivers(Struct, frozen=True, gc=False):
    """Channels that get the same frame: the topic, the `wire_id`s that match in ascending order, the connections."""

    topic: str
    ids: tuple[int, ...]
    connections: tuple[int, ...]


class Cohort:
    """Subscriptions that differ in `id` and `connection` only, so whatever one of them gets, all get."""

    __slots__ = ("_members", "_receivers", "audience", "select", "wish")

    def __init__(self, wish: Subscription) -> None:
        self.wish = wish
        """The subscription that came first; read only what all members share, for it may itself be gone."""
        self.audience = wish.audience
        self.select = wish.select
        self._members: dict[int, int] = {}
        self._receivers: Receivers | None = None

    def __len__(self) -> int:
        return len(self._members)

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(self._members)

    def add(self, subscription: Subscription) -> None:
        self._members[subscription.id] = subscription.connection
        self._receivers = None

    def remove(self, subscription_id: int) -> int:
        """Forget a member and return its connection."""
        self._receivers = None
        return self._members.pop(subscription_id)

    def receivers(self) -> Receivers:
        """Return who is here now. The value is kept until somebody comes or goes: it costs nothing per change."""
        receivers = self._receivers
        if receivers is None:
            # A channel may hold two equal bindings; it still gets one frame.
            connections = tuple(dict.fromkeys(self._members.values()))
            self._receivers = receivers = Receivers(self.wish.topic, (self.wish.wire_id,), connections)
        return receivers

    def remaining(self, earlier: Receivers) -> Receivers:
        """Return those of an earlier moment who are still here. Newcomers are not among them.

        A connection that left and wished the same again has not been away: its audience and its frames are the same.
        """
        if self._receivers is earlier:
            return earlier
        present = set(self._members.values())
        connections = tuple(connection for connection in earlier.connections if connection in present)
        return Receivers(earlier.topic, earlier.ids, connections)
