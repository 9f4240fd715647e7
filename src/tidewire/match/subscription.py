"""What readers wish, and groups of readers whose wishes are the same but for the connection. Evaluates nothing."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from tidewire.filters.answer import Predicate
from tidewire.model.relation import Relation

ANY: Final = "*"
"""Stands for every schema, every table or every event."""

TablePattern = tuple[str, str]
"""Schema and name of a table; either may be `ANY`."""

MOST_RENEWED: Final = 10_000
"""Of one cohort, until they are forgotten: by then, what was on its way has arrived."""

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
    """Whom it stands for where no policy binds: the role alone."""
    claims: Mapping[str, Any] = {}
    """Of the whole token; policies say which of them matter."""
    reads: tuple[str, ...] = ()
    """The columns that the filter reads: whoever may not read them may not filter by them."""
    truncate: bool = False
    """Also tell when the table is emptied, whatever the event and the filter."""
    moves: bool = False
    """Tell of rows that come into sight or go out of it, not only of those that are in sight afterwards."""


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


CohortKey = tuple[str, int, Select, Audience, bool, bool]


class Cohort:
    """Subscriptions that differ in `id` and `connection` only, so whatever one of them gets, all get."""

    __slots__ = ("_members", "_receivers", "_renewed", "audience", "moves", "select", "wish")

    def __init__(self, wish: Subscription, audience: Audience) -> None:
        self.wish = wish
        """The subscription that came first; read only what all members share, for it may itself be gone."""
        self.audience = audience
        self.select = wish.select
        self.moves = wish.event if wish.moves else ""
        """The event that those who follow moves asked for; empty for all others."""
        self._members: dict[int, Subscription] = {}
        self._receivers: Receivers | None = None
        self._renewed: set[int] | None = None

    def __len__(self) -> int:
        return len(self._members)

    @property
    def members(self) -> Iterable[Subscription]:
        return self._members.values()

    def add(self, subscription: Subscription) -> None:
        self._members[subscription.id] = subscription
        self._receivers = None
        if self._renewed is not None:
            self._renewed.discard(subscription.connection)

    def remove(self, subscription: Subscription, *, renewed: bool) -> None:
        """Let a member go. One that is `renewed` has another place now, and still gets what is on its way."""
        del self._members[subscription.id]
        self._receivers = None
        if renewed:
            if self._renewed is None or len(self._renewed) == MOST_RENEWED:
                self._renewed = set()
            self._renewed.add(subscription.connection)

    def receivers(self) -> Receivers:
        """Return who is here now. The value is kept until somebody comes or goes: it costs nothing per change."""
        receivers = self._receivers
        if receivers is None:
            # A channel may hold two equal bindings; it still gets one frame.
            connections = tuple(dict.fromkeys(member.connection for member in self._members.values()))
            self._receivers = receivers = Receivers(self.wish.topic, (self.wish.wire_id,), connections)
        return receivers

    def remaining(self, earlier: Receivers) -> Receivers:
        """Return those of an earlier moment who are still here. Newcomers are not among them.

        A connection that left and wished the same again has not been away: its audience and its frames are the same.
        """
        if self._receivers is earlier:
            return earlier
        present = {member.connection for member in self._members.values()}.union(self._renewed or ())
        connections = tuple(connection for connection in earlier.connections if connection in present)
        return Receivers(earlier.topic, earlier.ids, connections)


class Cohorts:
    """Cohorts under one filter, and of them those that follow moves."""

    __slots__ = ("_by_key", "_moving", "_still")

    def __init__(self) -> None:
        self._by_key: dict[CohortKey, Cohort] = {}
        self._still: tuple[Cohort, ...] | None = None
        self._moving: tuple[Cohort, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def __iter__(self) -> Iterator[Subscription]:
        return (member for cohort in self._by_key.values() for member in cohort.members)

    @property
    def still(self) -> tuple[Cohort, ...]:
        """Those that do not follow moves. A kept tuple: among very many filters it is cache misses that count."""
        if self._still is None:
            self._list()
        return self._still or ()

    @property
    def moving(self) -> tuple[Cohort, ...]:
        if self._still is None:
            self._list()
        return self._moving

    def add(self, wish: Subscription, audience: Audience) -> Cohort:
        """Take a member in, as one of an audience, and return its cohort."""
        key = _key(wish, audience)
        cohort = self._by_key.get(key)
        if cohort is None:
            cohort = self._by_key[key] = Cohort(wish, audience)
            self._still = None
        cohort.add(wish)
        return cohort

    def remove(self, wish: Subscription, audience: Audience, *, renewed: bool) -> Cohort:
        """Take a member out and return its cohort, which may be empty now."""
        key = _key(wish, audience)
        cohort = self._by_key[key]
        cohort.remove(wish, renewed=renewed)
        if not cohort:
            del self._by_key[key]
            self._still = None
        return cohort

    def _list(self) -> None:
        cohorts = self._by_key.values()
        self._moving = tuple(each for each in cohorts if each.moves)
        self._still = tuple(each for each in cohorts if not each.moves)


def _key(wish: Subscription, audience: Audience) -> CohortKey:
    return wish.topic, wish.wire_id, wish.select, audience, wish.truncate, wish.moves


def patterns_of(schema: str, name: str) -> tuple[TablePattern, ...]:
    """Return every way in which a table can be asked for."""
    return (schema, name), (schema, ANY), (ANY, name), (ANY, ANY)
